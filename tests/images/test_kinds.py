"""Sources that no plain address brings: SA-1B's personal links, Google Drive, OCR-VQA's own list."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import PROJECT
from drive_server import Drive, serve_drive
from image_files import IMG2DATASET, picture, tree, write_tar, write_zip
from sharegpt4v.catalogues.sources import Download, Source, read_catalogue
from sharegpt4v.config import load
from sharegpt4v.config.sources import Img2Dataset, Sources
from sharegpt4v.errors import UserError
from sharegpt4v.images.drive import files_on_drive
from sharegpt4v.images.fetch import Retries
from sharegpt4v.images.kinds import coco_rows
from sharegpt4v.images.kinds.links import read_links
from sharegpt4v.images.manifest import read_manifest
from sharegpt4v.images.stage import fetch_source
from sharegpt4v.layout import sources
from sharegpt4v.mini.files_server import serve_folder
from troublesome_server import Troublesome, troublesome

CONFIG = PROJECT / "config"


@pytest.fixture
def server() -> Iterator[Troublesome]:
    with troublesome() as server:
        yield server


# Personal links


def tar(first: int, count: int = 3) -> bytes:
    """An archive as SA-1B's: pictures, and a file of masks beside each."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(first, first + count):
            for name, content in ((f"./sa_{number}.jpg", picture(number, "JPEG")), (f"./sa_{number}.json", b"{}")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


SAM = Source(
    "sam", "links", "sam/images", (Download("sa_000000.tar"), Download("sa_000001.tar")), images=6, licence="Meta's",
    login="accept the terms at https://ai.meta.com and save its file of links",
)  # fmt: skip


def write_links(path: Path, server: Troublesome, signature: str) -> Path:
    """A file of links to the server's two tars, as Meta gives it to one person."""
    names = {"sa_000000.tar": tar(1), "sa_000001.tar": tar(4)}
    server.files |= {f"/{signature}/{name[:9]}": content for name, content in names.items()}
    lines = [f"{name}\t{server.base_url}/{signature}/{name[:9]}?oh=secret" for name in names]
    path.write_text("\n".join(["file_name\tcdn_link", *lines]) + "\n")
    return path


def fetch_sam(tmp_path: Path, links: Path, **settings: object) -> list[str]:
    how, retries = Sources(workers=1, link_files={"sam": links}, **settings), Retries(1)  # type: ignore[arg-type]
    manifest = fetch_source(SAM, tmp_path / "data", tmp_path / "work", how, retries=retries)
    return [row["path"] for row in read_manifest(manifest)]


def test_new_links_go_on_where_the_old_ones_expired(server: Troublesome, tmp_path: Path) -> None:
    links = write_links(tmp_path / "links.txt", server, "old")
    server.cuts = [len(tar(1)), 5_000]
    with pytest.raises(UserError, match=r"sa_000001\.tar: .* after 5,000 bytes; they are kept"):
        fetch_sam(tmp_path, links)
    server.expired = {"/old/sa_000000", "/old/sa_000001"}
    with pytest.raises(
        UserError, match=r"links\.txt: the link to sa_000001\.tar has expired; get a new file"
    ) as caught:
        fetch_sam(tmp_path, links)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    server.asked.clear()
    write_links(links, server, "new")
    assert fetch_sam(tmp_path, links) == [f"sam/images/sa_{number}.jpg" for number in range(1, 7)]
    assert (server.asked, server.ranges[-1]) == (["/new/sa_000001"], "bytes=5000-")
    server.asked.clear()
    links.unlink()
    assert len(fetch_sam(tmp_path, links)) == 6 and not server.asked, "what is unpacked needs no links"
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def test_tars_may_go_once_unpacked(server: Troublesome, tmp_path: Path) -> None:
    links = write_links(tmp_path / "links.txt", server, "a")
    assert len(fetch_sam(tmp_path, links, keep_archives=False)) == 6
    assert not list((tmp_path / "work").rglob("*.tar"))
    server.asked.clear()
    assert len(fetch_sam(tmp_path, links, keep_archives=False)) == 6 and not server.asked
    (tmp_path / "data/sam/images/sa_5.jpg").unlink()
    assert len(fetch_sam(tmp_path, links)) == 6 and server.asked == ["/a/sa_000001"]


def test_what_lacks_of_the_links_is_told(server: Troublesome, tmp_path: Path) -> None:
    for what, complaint in [
        (None, r"sam: no links to its archives; accept the terms .* and name that file in sources\.link_files\.sam"),
        ("gone", r"gone: cannot be read \(No such file or directory\); expected the file of links"),
        ("sa_000000.tar http://h/a b", r"links\.txt, line 1: expected a file name, a tab and a link"),
        ("sa_000007.tar\thttp://h/a", r"links\.txt: no link to sa_000000\.tar; .* get the file of links again"),
    ]:
        (tmp_path / "links.txt").write_text(what or "")
        files = {} if what is None else {"sam": tmp_path / ("gone" if what == "gone" else "links.txt")}
        with pytest.raises(UserError, match=complaint):
            fetch_source(SAM, tmp_path / "data", tmp_path / "work", Sources(link_files=files))


def test_a_tar_that_a_person_put_there_is_taken_and_stays(tmp_path: Path) -> None:
    for number in (0, 1):
        write_tar(tmp_path / f"work/sam/downloads/sa_00000{number}.tar", {f"sa_{number}.jpg": picture(number, "JPEG")})
    one = Source(**{**vars(SAM), "images": 2})
    fetch_source(one, tmp_path / "data", tmp_path / "work", Sources(workers=1, keep_archives=False))
    assert len(list((tmp_path / "work").rglob("*.tar"))) == 2


def test_what_lies_behind_damage_in_a_tar_is_found_and_the_rest_counts_as_missing(tmp_path: Path) -> None:
    archive = tmp_path / "work/sam/downloads/sa_000000.tar"
    write_tar(archive, {f"sa_{number}.jpg": picture(number, "JPEG") for number in range(1, 6)})
    write_tar(tmp_path / "work/sam/downloads/sa_000001.tar", {"sa_6.jpg": picture(6, "JPEG")})
    content = bytearray(archive.read_bytes())
    second = content.index(b"sa_2.jpg")
    content[second : second + 512] = b"\xff" * 512
    archive.write_bytes(content)

    def fetched(**settings: object) -> dict[str, str]:
        how = Sources(workers=1, **settings)  # type: ignore[arg-type]
        rows = read_manifest(fetch_source(SAM, tmp_path / "data", tmp_path / "work", how))
        return {row["path"].removeprefix("sam/images/"): row["status"] for row in rows}

    with pytest.raises(UserError, match=r"sa_000000\.tar: not a whole zip or tar archive .*; 4 members could be read"):
        fetched(missing="fail")
    with pytest.raises(UserError, match=r"of 6 files 0 are broken and 1 missing, more than the allowed 1\.0%"):
        fetched()
    expected = {f"sa_{number}.jpg": "ok" for number in (1, 3, 4, 5, 6)} | {"sa_000000.tar": "missing"}
    assert fetched(missing="report") == fetched(largest_bad_fraction=0.2) == expected


def test_links_are_read_with_and_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "links.txt"
    path.write_text("\ufefffile_name\tcdn_link\nsa_000000.tar\thttps://h/a?b=c\n\n")
    assert read_links(path) == {"sa_000000.tar": "https://h/a?b=c"}
    path.write_text("sa_000000.tar https://h/a\n")
    assert read_links(path) == {"sa_000000.tar": "https://h/a"}


# Google Drive

FOLDER = "1tCUQ-sq6vdshZVkF0ZeF3K4eztkXJgax"
IDS = {name: f"1{name}".ljust(33, "x") for name in ("wikiart", "celebrity", "inner", "photo")}


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    with serve_drive(tmp_path, monkeypatch) as server:
        for name in ("wikiart", "celebrity"):
            members = {f"data/{name}/images/{number}.jpg": picture(number, "JPEG") for number in range(90)}
            members["readme.bin"] = bytes(900_000)  # gdown keeps whole pieces of half a megabyte
            server.files[IDS[name]] = write_zip(tmp_path / f"{name}.zip", members).read_bytes()
        server.files[IDS["photo"]] = picture(5, "JPEG")
        server.folders[FOLDER] = [(IDS["wikiart"], "wikiart.zip"), (IDS["celebrity"], "web-celebrity.zip"),
                                  (IDS["inner"], "more")]  # fmt: skip
        server.folders[IDS["inner"]] = [(IDS["photo"], "a photograph.jpg")]
        yield server


def on_drive(address: str, **others: object) -> Source:
    return Source("wikiart", "drive", "wikiart/images", (Download(address),), licence="academic", **others)  # type: ignore[arg-type]


def fetch_drive(tmp_path: Path, one: Source, tries: int = 3) -> set[str]:
    fetch_source(one, tmp_path / "data", tmp_path / "work", Sources(workers=1), retries=Retries(tries))
    return tree(tmp_path / "data" / one.folder)


def test_of_a_folder_on_drive_those_files_are_fetched_that_are_meant(drive: Drive, tmp_path: Path) -> None:
    folder = f"https://drive.google.com/drive/folders/{FOLDER}"
    one = on_drive(f"{folder}#wikiart.zip", strip_prefix="data/wikiart/images/")
    drive.cuts = [700_000]
    assert fetch_drive(tmp_path, one) == {f"{number}.jpg" for number in range(90)}
    assert drive.ranges == [None, "bytes=524288-"]
    assert len(fetch_drive(tmp_path, one)) == 90 and (len(drive.ranges), drive.listed) == (2, 2), "asked for only once"
    assert fetch_drive(tmp_path / "b", on_drive(f"{folder}?usp=sharing#more/*")) == {"more/a photograph.jpg"}
    with pytest.raises(UserError, match=r"none of the 3 files of this folder is meant \(wikiart\.zip, web-celebrity"):
        fetch_drive(tmp_path, on_drive(f"{folder}#*.tar"))


def test_a_file_on_drive_that_was_cut_goes_on_in_the_next_run(drive: Drive, tmp_path: Path) -> None:
    one = on_drive(f"https://drive.google.com/file/d/{IDS['celebrity']}", strip_prefix="*/")
    drive.cuts = [700_000]
    with pytest.raises(UserError, match=r"incomplete: received 524288 bytes .* what came is kept") as caught:
        fetch_drive(tmp_path, one, tries=1)
    assert "\n" not in str(caught.value)
    assert fetch_drive(tmp_path, one) == {f"{number}.jpg" for number in range(90)}
    assert drive.ranges[-1] == "bytes=524288-"


def test_a_page_in_place_of_a_file_is_no_file(drive: Drive, tmp_path: Path) -> None:
    drive.over_quota = {IDS["wikiart"]}
    for id in (IDS["wikiart"], "1goneorprivatexxxxxxxxxxxxxxxxxxx"):
        with pytest.raises(UserError, match=rf"{id}: .* page in place of the file, .* put it at .*/{id}") as caught:
            fetch_drive(tmp_path, on_drive(f"https://drive.google.com/file/d/{id}"))
        assert "\n" not in str(caught.value) and not list((tmp_path / "work").rglob(f"*{id}"))
    with pytest.raises(UserError, match=r"does not show this folder .*status code 404"):
        fetch_drive(tmp_path, on_drive("https://drive.google.com/drive/folders/1goneorprivatexxxxxxxxxxxxxxxxxxx"))
    with pytest.raises(UserError, match=r"expected https://drive\.google\.com/ and file/d/ID or drive/folders/ID"):
        files_on_drive("https://drive.google.com/open?id=1", tmp_path / "list.json", 1)


# OCR-VQA


def test_images_of_ocr_vqa_come_by_its_own_list_and_are_called_jpg(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    for number, kind in enumerate(("JPEG", "GIF", "PNG")):
        (served / f"{number}.{kind.lower()}").write_bytes(picture(number, kind))
    one = Source("ocr_vqa", "ocr-vqa", "ocr_vqa/images", (Download("mini:dataset.json"),), licence="not known")
    crawler = Img2Dataset(command=IMG2DATASET, threads=4, timeout_seconds=3, retries=0)
    how = Sources(workers=1, smallest_success_rate=0.7, img2dataset=crawler)
    with serve_folder(served) as base_url:
        names = {"000732": "0.jpeg", "B00A": "1.gif", "97": "2.png", "dead": "3.jpg"}
        books = {id: {"imageURL": f"{base_url}/{name}", "split": 1} for id, name in names.items()}
        (served / "dataset.json").write_text(json.dumps(books))
        manifest = fetch_source(one, tmp_path / "data", tmp_path / "work", how, base_url)
    rows = {row["path"]: row for row in read_manifest(manifest)}
    assert tree(tmp_path / "data/ocr_vqa/images") == {"000732.jpg", "B00A.jpg", "97.jpg"}
    assert rows["ocr_vqa/images/B00A.jpg"]["note"] == "palette; GIF named .jpg"
    assert rows["ocr_vqa/images/dead.jpg"]["status"] == "missing"
    for wrong in ("[]", '{"a": {"split": 1}}', '{"../a": {"imageURL": "http://h"}}'):
        (tmp_path / "dataset.json").write_text(wrong)
        with pytest.raises(UserError, match=r"dataset\.json.*expected OCR-VQA's dataset.json"):
            fetch_source(
                Source("ocr_vqa", "ocr-vqa", "o", (Download(str(tmp_path / "dataset.json")),)), tmp_path, tmp_path, how
            )


# The paper's catalogue


def test_every_source_of_the_paper_is_fetched_by_a_program() -> None:
    rows = read_catalogue(CONFIG / "sources.tsv")
    assert not {row.name for row in rows.values() if row.kind == "placed"}
    tars = rows["sam"].downloads
    assert [tar.file_name for tar in tars] == [f"sa_{number:06d}.tar" for number in range(51)]
    assert len({tar.sha256 for tar in tars}) == 51 and rows["sam"].images == 51 * 11_186


def test_who_has_the_images_already_says_so() -> None:
    config = load(CONFIG / "paper-7b.yaml", {"sources": {"placed": ["sam"]}})
    assert {name for name, one in sources(config).items() if one.kind == "placed"} == {"sam"}
    with pytest.raises(UserError, match=r"sources\.placed\[0\] is 'samm', which is not in sources\.use"):
        load(CONFIG / "paper-7b.yaml", {"sources": {"placed": ["samm"]}})


# Rows that name images without their folder


def test_rows_of_coco_get_the_folder_of_their_images(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A hat – «rouge»."}]
    rows: list[dict[str, object]] = [
        {"id": "1", "image": "000000000001.jpg", "conversations": turns},
        {"id": "2", "image": "coco/train2017/000000000002.jpg", "conversations": turns},
        {"id": "3", "conversations": turns},
    ]
    published = tmp_path / "llava_instruct_150k.json"
    published.write_text(json.dumps(rows))
    source = Source(
        "llava-instruct158k", "coco-rows", "sharegpt4v/rows.json", (Download(str(published)),), images=0, licence="-"
    )
    for _ in range(2):
        manifest = fetch_source(source, tmp_path / "data", tmp_path / "work", Sources(workers=1))
        assert [row["status"] for row in read_manifest(manifest)] == ["ok"]
        written = json.loads((tmp_path / "data/sharegpt4v/rows.json").read_text())
        assert written == [rows[0] | {"image": "coco/train2017/000000000001.jpg"}, *rows[1:]]
    published.write_text(json.dumps([{"id": "1", "image": 1, "conversations": turns}]))
    with pytest.raises(UserError, match=r"llava_instruct_150k\.json, row 1, field 'image': a number"):
        fetch_source(source, tmp_path / "data", tmp_path / "work", Sources(workers=1))
    assert json.loads((tmp_path / "data/sharegpt4v/rows.json").read_text()) == written


def test_the_rows_of_llava_7b_name_images_where_their_source_puts_them() -> None:
    sources = read_catalogue(CONFIG / "sources.tsv")
    assert sources["llava-instruct158k"].kind == "coco-rows" and sources["coco"].folder == coco_rows.FOLDER
