"""What each stage of a run costs as a whole, whatever of it is done already: GPU-hours, money, disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sharegpt4v import layout, lineage
from sharegpt4v.catalogues.benchmarks import benchmark_named
from sharegpt4v.catalogues.checkpoints import read_checkpoints
from sharegpt4v.config import Config
from sharegpt4v.config.benchmarks import Benchmarks
from sharegpt4v.config.captions import Captions
from sharegpt4v.config.endpoint import Endpoint
from sharegpt4v.config.models import TrainedModel
from sharegpt4v.config.training import Recipe
from sharegpt4v.images.kind import kind_of_source
from sharegpt4v.models.family import DEFAULT, family_named
from sharegpt4v.models.llava_flops import llm_weights, tower_weights
from sharegpt4v.pipeline.targets import expected_images, fetched_sources, shards
from sharegpt4v.plan.generation import reply_rate
from sharegpt4v.plan.tables import device_named, read_assumptions, read_prices


@dataclass(frozen=True)
class Cost:
    """What a stage of `jobs` jobs costs; None where it is not known. `batch_usd` is by the Batch API.

    `longest_gpu_hours` are those of its longest job.
    """

    jobs: int
    gpu_hours: float | None = 0.0
    usd: float | None = 0.0
    batch_usd: float | None = 0.0
    gigabytes: float | None = 0.0
    longest_gpu_hours: float | None = 0.0


class Estimate:
    """The costs of a config's stages on devices of one kind."""

    def __init__(self, config: Config, device: str) -> None:
        self.config, self.models, self.family = config, config.base_models, family_named(DEFAULT)
        self.assumed, self.prices, self.device = read_assumptions(), read_prices(), device_named(device)

    def costs(self) -> dict[str, Cost]:
        """Return the cost of every stage that this config has, in the order of the pipeline."""
        config = self.config
        sizes = lineage.sizes(config)
        seeds = sum(config.teacher.captions.values())
        costs = {"source": self._sources()} if fetched_sources(config) else {}
        if lineage.uses_seed_captions(config) and not layout.is_provided(config, layout.SEED_CAPTIONS):
            costs["seed_captions"] = self._seed_captions(seeds)
        vocabulary = self.models.tokenizer.vocabulary
        made = [self.models.llm[size] for size in sizes]
        llms = sum(llm_weights(llm, vocabulary) + vocabulary * llm.hidden_size for llm in made)
        costs["language_model"] = Cost(len(sizes), gigabytes=self._gigabytes(llms))
        towers = bool(sizes) * tower_weights(self.models.vision_tower)
        costs["vision_tower"] = Cost(int(bool(sizes)), gigabytes=self._gigabytes(towers))
        costs["alignment"] = self._alignment(sizes)
        costs["published_model"] = self._published()
        if lineage.trains_captioner(config):
            trained = [config.captioner.size]
            costs["captioner"] = self._training("captioner", trained, config.captioner.recipe, seeds, "caption_tokens")
        if lineage.captions_images(config):
            costs["captions"] = self.captions_of(config.captioner.size)
        costs["pretraining"] = self._training(
            "pretraining", lineage.pretrained_sizes(config), config.pretraining, self._captioned(), "caption_tokens"
        )
        costs["finetuning"] = self.finetuning_of(lineage.finetuned_models(config))
        costs["answers"] = self.answers_of([model.size for model in config.models], self.questions())
        if config.benchmarks.judged:
            costs["judgements"] = self._judge()
        if alone := lineage.text_baselines(config):
            asked = self.questions([lineage.TEXT_ONLY])
            costs["text_baseline"] = self._generated(config.benchmarks, alone, asked, "answer_tokens", jobs=1)
        return costs

    def _sources(self) -> Cost:
        sources = fetched_sources(self.config).values()
        factor = self.assumed["unpacked_factor"] if self.config.sources.keep_archives else 1
        size = sum(kind_of_source(source).bytes_on_disk(source, factor) for source in sources)
        return Cost(len(sources), gigabytes=size / 1e9)

    def _images(self, name: str) -> int:
        return expected_images(self.config, name)

    def _seed_captions(self, images: int) -> Cost:
        teacher = self.config.teacher
        prompt = self.assumed["teacher_prompt_tokens"] + self.assumed[f"image_tokens_{teacher.image_detail}"]
        usd, batch = self._money(teacher, images * prompt, images * self.assumed["teacher_reply_tokens"])
        return Cost(1, usd=usd, batch_usd=batch, gigabytes=images * self.assumed["bytes_per_caption"] / 1e9)

    def _money(
        self, endpoint: Endpoint, prompt_tokens: float, reply_tokens: float
    ) -> tuple[float | None, float | None]:
        """The ordinary price and that of the Batch API; nothing where the project's own endpoint is asked."""
        if endpoint.base_url == "mini":
            return 0.0, 0.0
        price = self.prices.get(endpoint.model)
        if price is None:
            return None, None
        usd = price.usd(prompt_tokens, reply_tokens)
        return usd, usd * price.batch_factor if price.batch_factor is not None else None

    def hours(self, flops: float, mfu: str) -> float:
        """Return the GPU-hours of so many operations, at the share of the peak that a stage reaches."""
        return flops / (self.device.flops * self.assumed[f"mfu_{mfu}"]) / 3600

    def _gigabytes(self, weights: float) -> float:
        return weights * self.assumed["bytes_per_weight"] / 1e9

    def _training(self, stage: str, sizes: list[str], recipe: Recipe, rows: int, text: str) -> Cost:
        hours, gigabytes = [0.0], 0.0
        for size in sizes:
            flops = self.family.training_flops(self.models, size, recipe, self.assumed[text]) * rows * recipe.epochs
            hours.append(self.hours(flops, stage))
            gigabytes += self._gigabytes(self.family.weights(self.models, size)) + self._state(size, recipe)
        return Cost(len(sizes), sum(hours), gigabytes=gigabytes, longest_gpu_hours=max(hours))

    def _alignment(self, sizes: list[str]) -> Cost:
        """The trainings of projectors; where one is published, its model is joined in no time worth a number."""
        trained = [size for size in sizes if not self.models.llm[size].projector]
        rows = self._images("llava") if trained else 0
        cost = self._training("alignment", trained, self.config.alignment, rows, "short_caption_tokens")
        joined = sum(self.family.weights(self.models, size) for size in sizes if size not in trained)
        return replace(cost, jobs=len(sizes), gigabytes=(cost.gigabytes or 0) + self._gigabytes(joined))

    def _published(self) -> Cost:
        """What published models take on disk, twice: as they were downloaded, and as checkpoints of this project."""
        taken = lineage.published_models(self.config).values()
        sizes = [known.bytes if (known := read_checkpoints().get(model.id)) else None for model in taken]
        unknown = any(size is None for size in sizes)
        return Cost(len(sizes), gigabytes=None if unknown else 2 * sum(size or 0 for size in sizes) / 1e9)

    def _state(self, size: str, recipe: Recipe) -> float:
        """Gigabytes of the states to resume from, as many as there are at most; they go when their stage is done."""
        state = self.family.weights(self.models, size, recipe) * self.assumed["bytes_per_trained_weight"] / 1e9
        return state * self.assumed["saved_states"]

    def captions_of(self, size: str) -> Cost:
        """Return what the captions of all images by a captioner of a size cost."""
        config, images = self.config, self._captioned()
        gigabytes = 2 * images * self.assumed["bytes_per_caption"] / 1e9  # shards, and the corpus
        cost = self._generated(config.captions, [size], images, "caption_tokens", len(shards(config)))
        return replace(cost, gigabytes=gigabytes)

    def _captioned(self) -> int:
        return sum(expected_images(self.config, name) for name in self.config.captions.sources)

    def _generated(
        self, section: Captions | Benchmarks, sizes: Sequence[str | None], replies: int, text: str, jobs: int
    ) -> Cost:
        """The replies of each model, by `jobs` alike per model; `sizes` are None where nothing is known of one."""
        total, tokens = jobs * len(sizes), self.assumed[text]
        if endpoint := section.asked_endpoint:  # no device of the run, and not by the Batch API
            prompt = self.assumed["question_tokens"] + self.assumed["image_tokens_high"]
            asked = replies * len(sizes)
            usd = self._money(endpoint, asked * prompt, asked * tokens)[0]
            return Cost(total, usd=usd, batch_usd=usd)
        hours = [self._generated_hours(section, size, replies, tokens, jobs) for size in sizes]
        known = [one for one in hours if one is not None]
        if len(known) < len(hours):
            return Cost(total, None, longest_gpu_hours=None)
        return Cost(total, sum(known), longest_gpu_hours=max(known, default=0.0) / jobs)

    def _generated_hours(
        self, section: Captions | Benchmarks, size: str | None, replies: int, tokens: float, jobs: int
    ) -> float | None:
        """GPU-hours of all replies of one model; None where its size is not known or it does not fit a device."""
        if size is None:
            return None
        rate = reply_rate(self.family, self.models, size, section, tokens, self.device, self.assumed)
        return None if rate is None else section.devices * (replies * rate.seconds + jobs * rate.start) / 3600

    def finetuning_of(self, models: Sequence[TrainedModel]) -> Cost:
        """Return what the fine-tuning of models costs."""
        recipe, hours, gigabytes = self.config.finetuning, [0.0], 0.0
        unknown = False
        for model in models:
            rows = self.mix_rows(model)
            unknown |= rows is None or model.size is None
            if model.size is None:
                continue
            flops = self.family.training_flops(self.models, model.size, recipe, self.assumed["instruction_tokens"])
            hours.append(self.hours(flops * (rows or 0) * recipe.epochs, "finetuning"))
            gigabytes += self._gigabytes(self.family.weights(self.models, model.size)) + self._state(model.size, recipe)
        total, longest = (None, None) if unknown else (sum(hours), max(hours))
        return Cost(len(models), total, gigabytes=gigabytes, longest_gpu_hours=longest)

    def mix_rows(self, model: TrainedModel) -> int | None:
        """Rows of a model's instruction mix, as published or drawn; None where nobody has said."""
        if mini := self.config.mini:  # each other image has a row of the larger mix
            drawn = sum(mini.images.get(name, 0) for name in ("gqa", "ocr_vqa", "textvqa", "vg"))
            rows = mini.instruction_rows
            return rows.conversations + rows.detail + rows.text_only + drawn
        known = self.assumed.get(f"rows_{lineage.rows_of(self.config, model).name}")
        if known is None and model.mix:  # one that is made: about as many rows as the mix that it is made of
            known = self.assumed.get(f"rows_{self.config.corpora.instruction_mixes[model.mix].name}")
        return None if known is None else int(known)

    def answers_of(self, sizes: Sequence[str | None], questions: int) -> Cost:
        """Return what it costs that models of these sizes answer so many questions each."""
        return self._generated(self.config.benchmarks, sizes, questions, "answer_tokens", jobs=1)

    def questions(self, names: Sequence[str] | None = None) -> int:
        """Return how many questions one model is asked, of all benchmarks of the run or of some."""
        mini, names = self.config.mini, self.config.benchmarks.names if names is None else names
        return sum(mini.questions_per_benchmark if mini else benchmark_named(name).questions for name in names)

    def judge_requests(self) -> int:
        """Return how often the judge is asked about one model."""
        mini, judge = self.config.mini, self.config.judge
        return sum(
            judge.runs(name) * (mini.questions_per_benchmark if mini else benchmark_named(name).questions)
            for name in self.config.benchmarks.judged
        )

    def _judge(self) -> Cost:
        prompt = reply = 0.0
        for name in self.config.benchmarks.judged:
            asked = benchmark_named(name).questions * self.config.judge.runs(name) * len(self.config.models)
            prompt += asked * self.assumed[f"judge_prompt_tokens_{name}"]
            reply += asked * self.assumed[f"judge_reply_tokens_{name}"]
        usd, batch = self._money(self.config.judge, prompt, reply)
        return Cost(len(self.config.models), usd=usd, batch_usd=batch)
