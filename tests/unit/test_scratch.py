"""The tiny base model's recipe: tokenizer, batches, the hand-written forward pass, settings."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from toolace.calls.definitions import parse_definitions
from toolace.data.synthetic import generate
from toolace.data.synthetic_damage import answer_text
from toolace.data.synthetic_tools import universe_of
from toolace.errors import ConfigError
from toolace.rendering import REFINE_INSTRUCTION
from toolace.training.scratch import Trainer, export, train_base
from toolace.training.scratch_cache import cached_base, checkpoint_folder, recipe_hash, work_folder
from toolace.training.scratch_config import TinyBaseConfig, load_tiny_base_config
from toolace.training.scratch_data import END, Batch, Corpus, Renderer, exercise, train_tokenizer
from toolace.training.scratch_model import Forward, build_model

SMALL = TinyBaseConfig(
    vocabulary=700, tokenizer_rows=300, width=128, heads=4, layers=2, intermediate=96, compiled=False, batch_tokens=2048
)
STABLELM = SMALL.model_copy(update={"architecture": "stablelm"})
CONFIGS = Path(__file__).parents[2] / "configs"
both = pytest.mark.parametrize("config", [SMALL, STABLELM], ids=["llama", "stablelm"])


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(SMALL)


def test_words_have_the_same_tokens_wherever_they_stand(tokenizer: PreTrainedTokenizerFast) -> None:
    for value in ("Krakow", "KX-4821", "9asyp", "2031-07-04", "dark comet", "vera7@post.org", "Velkor Labs", "12.75"):
        inner = tokenizer.encode(value)
        for text in (f"to {value} now", f'city="{value}")]', f"{value}: x", f"The city is {value}."):
            tokens = tokenizer.encode(text)
            assert any(tokens[i : i + len(inner)] == inner for i in range(len(tokens))), (value, text)


def test_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in ("a  b\n\tc", "Grüße, 世界! 🙂", "The the THE end. ", '{"a_id": [1, 2.5, null]}'):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_prompt_is_what_the_tokenizers_template_gives(tokenizer: PreTrainedTokenizerFast) -> None:
    renderer = Renderer()
    for sample in generate(60, 1):
        turns = []
        for message in sample.chat.messages:
            turn = {"role": message.role, "content": message.content}
            if message.calls:
                turn["tool_calls"] = [
                    {"type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in message.calls
                ]
            turns.append(turn)
        tools = [tool.openai() for tool in sample.chat.tools]
        options = {"tools": tools, "tokenize": False}
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, **options)
        assert renderer.prompt(sample.chat) == prompt
        answer = {"role": "assistant", "content": answer_text(sample.reference)}
        assert tokenizer.apply_chat_template([*turns, answer], **options) == f"{prompt}{answer['content']}{END}\n"
        if sample.reference.calls:
            functions = [{"name": c.name, "arguments": c.arguments} for c in sample.reference.calls]
            turn = {"role": "assistant", "content": "", "tool_calls": [{"function": f} for f in functions]}
            assert tokenizer.apply_chat_template([*turns, turn], **options) == f"{prompt}{answer['content']}{END}\n"


def test_the_check_exercise_goes_on_from_the_first_pass() -> None:
    renderer, rng = Renderer(), random.Random(0)
    right = 0
    for sample in generate(200, 2, profile="base"):
        checked = exercise(sample, rng, wrong=0.5)
        draft, instruction = checked.chat.messages[-2:]
        assert instruction.content == REFINE_INSTRUCTION and checked.reference == sample.reference
        assert renderer.prompt(checked.chat).startswith(renderer.prompt(sample.chat) + draft.content + END)
        right += draft.content == answer_text(sample.reference)
    assert 70 < right < 130


@pytest.fixture(scope="module")
def corpus(tokenizer: PreTrainedTokenizerFast) -> Corpus:
    return Corpus(SMALL, tokenizer)


@pytest.fixture(scope="module")
def batches(corpus: Corpus) -> list[Batch]:
    return list(corpus.batches(1.0))


def test_batches_ask_for_the_answers_and_nothing_else(
    tokenizer: PreTrainedTokenizerFast, corpus: Corpus, batches: list[Batch]
) -> None:
    assert corpus.rows == 4096 and corpus.chunk == 1
    for batch in batches[:10]:
        assert batch.ids.numel() <= SMALL.batch_tokens and batch.ids.shape[1] % 32 == 0 and len(batch.places) % 256 == 0
        real = batch.targets >= 0
        assert torch.equal(batch.ids.flatten()[batch.places[real] + 1], batch.targets[real])
        for row in range(len(batch.ids)):
            inside = real & (batch.places // batch.ids.shape[1] == row)
            answers = tokenizer.decode(batch.targets[inside]).split(END)
            text = tokenizer.decode(batch.ids[row]).replace("<|endoftext|>", "")
            assert answers.pop() == "" and text.endswith(answers[-1] + END)
            for answer in answers:
                assert f"<|im_start|>assistant\n{answer}{END}" in text
            # Of a check-and-correct exercise the draft is asked for too, where it is right.
            assert len(answers) == 1 or (REFINE_INSTRUCTION in text and answers[0] == answers[1])


def test_a_damaged_draft_is_never_a_target(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = random.Random(1)
    samples = list(generate(100, 3, profile="base"))
    pairs = [(s, exercise(s, rng, wrong)) for s in samples for wrong in (0.0, 1.0)]
    corpus = Corpus(SMALL, tokenizer)
    rows = corpus._rows([corpus._calling(*pair) for pair in pairs])
    for (sample, checked), row in zip(pairs, rows, strict=True):
        right = checked.chat.messages[-2].content == answer_text(sample.reference)
        assert tokenizer.decode(row.targets) == (answer_text(sample.reference) + END) * (1 + right)
        assert [row.ids[place + 1] for place in row.places] == row.targets


def test_a_base_may_meet_definitions_of_tools_of_its_own_world(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    corpus = Corpus(SMALL.model_copy(update={"define_share": 0.5}), tokenizer)
    texts = [tokenizer.decode(row) for batch in corpus.batches(1.0) for row in batch.ids.tolist()]
    asked = [text for text in texts if "Write the full definition" in text or "Generate candidate tools" in text]
    assert 0.2 < len(asked) / len(texts) < 0.4  # two thirds of that half, less what has no call
    for text in asked:
        answer = text.split("<|im_start|>assistant\n")[1].split(END)[0]
        tools = parse_definitions(answer)
        assert tools and all(universe_of(tool.name)[0] == "base" for tool in tools)


def test_the_curriculum_starts_easy(tokenizer: PreTrainedTokenizerFast, batches: list[Batch]) -> None:
    easy = Corpus(SMALL, tokenizer).batches(0.0)
    assert max(b.ids.shape[1] for b in easy) < max(b.ids.shape[1] for b in batches)


@both
def test_the_forward_pass_equals_the_librarys(tokenizer: PreTrainedTokenizerFast, config: TinyBaseConfig) -> None:
    model = build_model(config, tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        ids = torch.randint(0, len(tokenizer), (3, 50))
        theirs = model.model(input_ids=ids).last_hidden_state
        torch.testing.assert_close(Forward(model, compiled=False)(ids), theirs, atol=2e-4, rtol=1e-3)


@both
def test_the_first_heads_look_back(tokenizer: PreTrainedTokenizerFast, config: TinyBaseConfig) -> None:
    model = build_model(config, tokenizer)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        seen = model.model(input_ids=torch.randint(0, 600, (1, 40)), output_attentions=True).attentions[0][0]
    for head, offset in enumerate((1, 2, 3)):
        assert seen[head, 20:].argmax(-1).tolist() == [i - offset for i in range(20, 40)]


@both
def test_a_resumed_trainer_goes_on_where_it_was(
    tokenizer: PreTrainedTokenizerFast, batches: list[Batch], tmp_path: Path, config: TinyBaseConfig
) -> None:
    config, batches = config.model_copy(update={"steps": 50}), batches[:4]
    whole, first, second = (Trainer(config, tokenizer) for _ in range(3))
    expected = [whole.train_step(batch) for batch in batches][-1]
    for batch in batches[:2]:
        first.train_step(batch)
    first.save(tmp_path / "state.pt")
    second.load(tmp_path / "state.pt")
    assert not any(average.requires_grad for average in second.average)
    assert second.step == 2 and second.tokens == first.tokens
    assert [second.train_step(batch) for batch in batches[2:]][-1] == pytest.approx(expected, rel=1e-3)


@both
def test_the_export_loads_in_stock_classes_with_its_own_tokenizer(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, config: TinyBaseConfig
) -> None:
    model = build_model(config, tokenizer)
    export(model, tokenizer, tmp_path, {"seed": 7})
    loaded, words = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    text = "<|im_start|>user\nSet user id to 9asyp in the town of Krakow<|im_end|>\n"
    assert words.encode(text) == tokenizer.encode(text)
    assert (
        type(loaded).__name__ == {"llama": "LlamaForCausalLM", "stablelm": "StableLmForCausalLM"}[config.architecture]
    )
    assert (
        loaded.config.tie_word_embeddings and words.chat_template == tokenizer.chat_template and words.eos_token == END
    )
    ids = torch.tensor([tokenizer.encode(text)])
    with torch.no_grad():
        ours = model.to(torch.bfloat16)(input_ids=ids).logits
        torch.testing.assert_close(loaded(input_ids=ids).logits, ours, atol=0.05, rtol=0.05)
    assert loaded.generation_config.eos_token_id == tokenizer.eos_token_id
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"seed": 7}


def test_the_shipped_settings_parse_and_wrong_ones_are_refused() -> None:
    path = CONFIGS / "tiny_base.yaml"
    assert load_tiny_base_config(path, ["steps=20"]).steps == 20
    with pytest.raises(ConfigError, match="stepz"):
        load_tiny_base_config(path, ["stepz=20"])
    with pytest.raises(ConfigError, match="no '='"):
        load_tiny_base_config(path, ["steps"])
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_tiny_base_config("absent.yaml")
    with pytest.raises(ConfigError, match="multiple of 4 x heads"):
        load_tiny_base_config(path, ["heads=7"])


def test_a_recipe_without_definitions_has_the_hash_that_it_had_before() -> None:
    plain, defining = (load_tiny_base_config(CONFIGS / f"tiny_base{name}.yaml") for name in ("", "_documented"))
    assert plain.define_share == 0 < defining.define_share
    alike = plain.model_copy(update={"define_share": 0.0, "name": "other"})
    assert recipe_hash(plain) == recipe_hash(alike) != recipe_hash(defining)


def test_the_other_recipes_are_of_two_architectures_and_other_sizes(tokenizer: PreTrainedTokenizerFast) -> None:
    sizes = {}
    for file in ("tiny_base", "tiny_base_small", "tiny_base_stablelm"):
        config = load_tiny_base_config(CONFIGS / f"{file}.yaml")
        assert config.name == file and (config.output is None) == (file != "tiny_base")
        model = build_model(config, tokenizer)
        missing = (config.vocabulary - len(tokenizer)) * config.width  # the tokenizer here is a smaller one
        sizes[file, config.architecture] = round((sum(p.numel() for p in model.parameters()) + missing) / 1e6, 1)
    assert sizes == {
        ("tiny_base", "llama"): 3.7, ("tiny_base_small", "llama"): 1.3, ("tiny_base_stablelm", "stablelm"): 2.2
    }  # fmt: skip


def test_a_recipes_hash_is_that_of_what_makes_the_model() -> None:
    same = {"name": "other", "threads": 1, "compiled": True, "evaluate_rows": 3, "evaluate_minutes": 1.0, "work": "w"}
    assert recipe_hash(SMALL.model_copy(update=same)) == recipe_hash(SMALL)
    for change in ({"steps": 5}, {"width": 160}, {"architecture": "stablelm"}, {"seed": 8}, {"easy_until": 0.1}):
        assert recipe_hash(SMALL.model_copy(update=change)) != recipe_hash(SMALL), change


def test_a_base_is_trained_into_the_cache_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLACE_CACHE", str(tmp_path))
    few = {"name": "few", "steps": 2, "evaluate_rows": 1, "threads": 1, "tokenizer_rows": 100}
    config = STABLELM.model_copy(update=few)
    assert cached_base(config) is None
    made = train_base(config, "python train.py")
    folder = checkpoint_folder(config)
    assert folder == tmp_path / "bases" / f"few-{recipe_hash(config)}" == cached_base(config)
    assert made["steps"] == 2 and made["hash"] == recipe_hash(config) and made["command"] == "python train.py"
    assert [path.name for path in (tmp_path / "bases").iterdir()] == [folder.name], "nothing half made is left"
    assert train_base(config) == made, "the recipe as it was written"
    longer = config.model_copy(update={"steps": 3})
    assert cached_base(longer) is None and work_folder(longer) != work_folder(config)
    assert checkpoint_folder(config.model_copy(update={"output": "here"})) == Path("here")
