"""`s4v fetch`: the miniature's benchmarks, in archives and under the names of the real ones, from loopback servers."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BIN, ENVIRONMENT, PROJECT, run
from drive_server import Drive, serve_drive
from evaluation_files import make_evaluation
from image_files import write_zip
from sharegpt4v.catalogues.benchmarks import read_catalogue as read_benchmarks
from sharegpt4v.catalogues.licences import read_terms, terms_in
from sharegpt4v.catalogues.sources import OFFICIAL_COLUMNS, read_catalogue
from sharegpt4v.cli import main
from sharegpt4v.config import load
from sharegpt4v.official_files import official_files
from troublesome_server import Troublesome, troublesome

ROWS = read_catalogue(PROJECT / "config/benchmark_files.tsv", OFFICIAL_COLUMNS)
DRIVE = "0123456789abcdefghijklmnopqrstuvw"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_evaluation(tmp_path_factory.mktemp("evaluation"), 2)


@pytest.fixture
def server() -> Iterator[Troublesome]:
    with troublesome() as server:
        yield server


class World:
    """A preset in an empty folder, whose official files are those of the miniature, zipped, behind addresses."""

    def __init__(self, here: Path, evaluation: Path, server: Troublesome) -> None:
        self.here, self.evaluation, self.server = here, evaluation, server
        self.table = here / "files.tsv"
        self.table.write_text("\t".join(OFFICIAL_COLUMNS) + "\n")
        self.names: list[str] = []

    def row(self, name: str, benchmark: str, gives: str, kind: str, folder: str, address: str, **other: str) -> None:
        cells = {"images": "0", "licence": "CC BY 4.0", "about": "for a test"} | other
        cells |= {"name": name, "benchmarks": benchmark, "gives": gives, "kind": kind, "folder": folder}
        cells["address"] = address
        with open(self.table, "a") as file:
            file.write("\t".join(cells.get(column, "") for column in OFFICIAL_COLUMNS) + "\n")
        self.names += [one for one in benchmark.split() if one not in self.names]

    def zipped(self, folder: str, keep: str = "") -> bytes:
        """A folder of the miniature's benchmarks as a zip; members that begin with `keep`, if that is given."""
        members = {
            path.relative_to(self.evaluation).as_posix(): path.read_bytes()
            for path in sorted((self.evaluation / folder).rglob("*"))
            if path.is_file() and path.relative_to(self.evaluation / folder).as_posix().startswith(keep)
        }
        return write_zip(self.here / "some.zip", members).read_bytes()

    def whole(self, benchmark: str, **other: str) -> bytes:
        """Serve all files of a benchmark as one archive, and write the row for it."""
        folder = read_benchmarks()[benchmark].folder
        content = self.server.files[f"/{benchmark}.zip"] = self.zipped(folder)
        address = f"{self.server.base_url}/{benchmark}.zip"
        self.row(f"{benchmark}-all", benchmark, f"{folder}/*.json*", "zip", ".", address, **other)
        return content

    @property
    def config(self) -> str:
        preset = self.here / "mine.yaml"
        lines = [f"base: {PROJECT / 'config/released.yaml'}", "sources: {keep_free_gigabytes: 0, workers: 1}"]
        lines.append(f"benchmarks: {{catalogue: {self.table}, names: [{', '.join(self.names)}]}}")
        preset.write_text("\n".join(lines) + "\n")
        return str(preset)

    def fetch(self, *options: str) -> int:
        return main(["fetch", *options, "--config", self.config])


@pytest.fixture
def world(tmp_path: Path, evaluation: Path, server: Troublesome, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(tmp_path, evaluation, server)


def test_every_row_of_the_table_can_be_read_and_is_for_a_benchmark() -> None:
    benchmarks = read_benchmarks()
    assert {name for row in ROWS.values() for name in row.benchmarks} == set(benchmarks)
    for row in ROWS.values():
        assert row.gives and row.about and all(terms.name in read_terms() for terms in terms_in(row.licence)), row.name
        assert row.kind != "placed" or row.login, row.name
    for table in ("sources.tsv", "sources.mini.tsv"):
        assert not ROWS.keys() & read_catalogue(PROJECT / "config" / table).keys()


def test_the_miniature_has_what_the_rows_give(evaluation: Path) -> None:
    """Its files are those of the official archives, so a pattern that names none here would name none there."""
    with_names = [(row.name, pattern) for row in ROWS.values() for pattern in row.gives]
    assert [pair for pair in with_names if not any(evaluation.glob(pair[1]))] == []
    config = load(PROJECT / "config/released.yaml", {"benchmarks": {"root": str(evaluation)}})
    assert {row.kind for row in official_files(config).values()} == {"placed"}, "what is there is not downloaded"


def test_files_are_fetched_checked_and_then_there(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    content = world.whole("gqa")
    annotation = (world.evaluation / "vizwiz/val.json").read_bytes()
    digest = hashlib.sha256(annotation).hexdigest()
    world.server.files |= {"/val.json": annotation, "/val.zip": world.zipped("vizwiz", "val/")}
    base = world.server.base_url
    known = {"bytes": str(len(annotation)), "sha256": digest}
    world.row("vizwiz-val", "vizwiz", "vizwiz/val.json", "file", "vizwiz/val.json", f"{base}/val.json", **known)
    world.row("vizwiz-images", "vizwiz", "vizwiz/val", "zip", "vizwiz/val", f"{base}/val.zip", images="",
              strip_prefix="vizwiz/val/")  # fmt: skip
    assert world.fetch("--dry-run") == 0 and world.server.asked == []
    listed = capsys.readouterr().out
    size = f"{len(annotation) / 1e3:.3g} kB"
    assert "gqa-all" in listed and size in listed and "CC BY 4.0" in listed and "and 2 files of unknown size" in listed
    assert not (world.here / "data").exists()

    assert world.fetch() == 0
    said = capsys.readouterr().out
    assert said.count("fetched") == 3 and "ok      benchmark gqa" in said and "ok      benchmark vizwiz" in said
    assert sorted(world.server.asked) == ["/gqa.zip", "/val.json", "/val.zip"]
    assert (world.here / "data/eval/vizwiz/val.json").read_bytes() == annotation and content
    assert world.fetch() == 0 and world.fetch("vizwiz") == 0 and len(world.server.asked) == 3
    assert "vizwiz-val" in capsys.readouterr().out
    image = next((world.here / "data/eval/vizwiz/val").iterdir())
    image.unlink()
    assert world.fetch() == 0 and image.exists(), "what was lost is brought back"
    assert main(["fetch", "nothing", "--config", world.config]) == 1


def test_what_a_person_has_put_there_is_never_downloaded(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.whole("gqa")
    shutil.copytree(world.evaluation / "gqa", world.here / "data/eval/gqa")
    assert world.fetch() == 0 and world.server.asked == []
    assert "there" in capsys.readouterr().out
    assert main(["stage", "source", "gqa-all", "--config", world.config]) == 0 and world.server.asked == []
    (row,) = official_files(load(Path(world.config))).values()
    assert row.kind == "placed", "also after it was listed"


def test_what_only_a_person_can_bring_is_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.whole("gqa")
    world.row("mme-release", "mme", "MME/*", "placed", "MME", "https://mme.example/page", login="ask the authors")
    assert world.fetch() == 1
    said = capsys.readouterr().out
    todo = "ask the authors, get them from https://mme.example/page and put them there"
    assert f"by hand: mme-release: data/eval has no MME/*; {todo}" in said
    assert "ok      benchmark gqa" in said and "MISSING benchmark mme" in said
    command = [str(BIN / "snakemake"), "results/table.csv", "--cores", "1", "--snakefile", str(PROJECT / "Snakefile")]
    command += ["--configfile", world.config]
    ended = run(command, world.here, ENVIRONMENT | {"OPENAI_API_KEY": "none"})
    (line,) = (line for line in ended.stderr.splitlines() if line.startswith("benchmark mme: "))
    assert ended.returncode == 1 and todo in line and "benchmarks.missing" in line
    assert not (world.here / "checkpoints").exists(), "before anything was downloaded or trained"
    shutil.copytree(world.evaluation / "MME", world.here / "data/eval/MME")
    assert world.fetch() == 0


def test_a_wrong_file_is_refused_in_one_line_and_others_come(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.whole("gqa", sha256="0" * 64)
    world.whole("vizwiz", bytes="7")
    world.whole("qbench")
    world.server.expired.add("/expired.json")
    address = f"{world.server.base_url}/expired.json"
    world.row("chartqa-test", "chartqa", "chartqa/*", "file", "chartqa/ChartQA_TEST.tsv", address)
    assert world.fetch() == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed: ")]
    assert [line.split(":")[1].strip() for line in told] == ["gqa-all", "vizwiz-all", "chartqa-test"]
    assert "SHA-256" in told[0] and "expected 7" in told[1] and "need a login" in told[2]
    assert (world.here / "data/eval/qbench").is_dir() and not (world.here / "data/eval/gqa").exists()


def test_an_archive_cannot_write_outside_its_folder(world: World, evaluation: Path) -> None:
    members = {"qbench/a.txt": b"a", "../../../outside.txt": b"b", "/tmp/outside-of-it.txt": b"c"}
    world.server.files["/bad.zip"] = write_zip(world.here / "bad.zip", members).read_bytes()
    world.row("qbench-dev", "qbench", "qbench/*", "zip", "qbench", f"{world.server.base_url}/bad.zip")
    assert world.fetch() == 1
    written = {path.name for path in world.here.parent.rglob("*.txt")}
    assert "outside.txt" not in written and not Path("/tmp/outside-of-it.txt").exists()


def test_a_kill_and_the_same_command_again_resume(world: World) -> None:
    content = world.whole("gqa")
    world.server.cuts = [len(content) // 2, 0, 0, 0, 0]  # no more comes, and it waits longer each time
    command = [str(BIN / "s4v"), "fetch", "--config", world.config]
    part = world.here / ".work/sources/gqa-all/downloads/gqa.zip.part"
    with subprocess.Popen(command, cwd=world.here, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 200
        while not (part.exists() and part.stat().st_size) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert part.exists() and not (world.here / "data/eval/gqa").exists()
    world.server.cuts = []
    assert world.fetch() == 0
    assert world.server.ranges[0] is None and str(world.server.ranges[-1]).startswith("bytes=")


def test_eval_zip_comes_from_drive(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_drive(tmp_path, monkeypatch) as drive:
        assert isinstance(drive, Drive)
        drive.files[DRIVE] = world.zipped("gqa")
        world.row("eval-zip", "gqa", "gqa/*.jsonl", "drive", ".", f"https://drive.google.com/file/d/{DRIVE}")
        assert world.fetch() == 0 and world.fetch() == 0
        assert drive.ranges == [None], "asked for once"


def test_the_miniature_s_own_archive_is_one_file(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = ["--config", str(PROJECT / "config/smoke.yaml")]
    assert main(["fetch", *config]) == 1 and "draws the world first" in capsys.readouterr().out
    shutil.copytree(smoke / "data/mini", tmp_path / "data/mini")
    assert main(["fetch", *config]) == 0
    assert "fetched" in capsys.readouterr().out and (tmp_path / "data/eval/gqa").is_dir()
    assert main(["fetch", "gqa", "--dry-run", *config]) == 0 and "there" in capsys.readouterr().out
