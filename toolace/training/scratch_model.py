"""The networks of the tiny base models: fresh weights, a fast forward pass, and the form that they are exported in."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    StableLmConfig,
    StableLmForCausalLM,
)

from toolace.errors import TrainingError
from toolace.training.scratch_config import TinyBaseConfig

_ROTARY_SHARE = 0.5
"""Of a head in `stablelm`."""
_RMS_EPS, _LAYER_EPS = 1e-6, 1e-5


def build_model(config: TinyBaseConfig, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """A model with fresh weights: output projections zero, three heads of layer 0 looking a fixed step back.

    `llama` is trained as Qwen2, whose biases it needs, and becomes Llama when it is exported.
    """
    torch.manual_seed(config.seed)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": config.width,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "max_position_embeddings": config.max_positions,
        "tie_word_embeddings": True,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model: PreTrainedModel
    if config.architecture == "stablelm":
        rotary = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": _ROTARY_SHARE}
        model = StableLmForCausalLM(
            StableLmConfig(**shape, rope_parameters=rotary, use_qkv_bias=True, layer_norm_eps=_LAYER_EPS)
        )
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**shape))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
            elif parameter.ndim == 2:
                parameter.normal_(std=0.03)
        for head, offset in enumerate((1, 2, 3)):
            _look_back(model, head, offset)
    return model


def _rotary_size(model: PreTrainedModel) -> int:
    """Dimensions of a head that positions rotate."""
    config = model.config
    share: float = config.rope_parameters.get("partial_rotary_factor", 1.0)
    return int(config.hidden_size // config.num_attention_heads * share)


def _look_back(model: PreTrainedModel, head: int, offset: int, strength: float = 6.0) -> None:
    """Make a head of layer 0 start out attending `offset` tokens back, which copying is built on.

    The biases of queries and keys meet in the attention logit as a function of distance alone (rotary positions), so
    phases that cancel at `offset` put its peak there. Only the fast rotations are used: the slow ones see no distance.
    """
    attention = model.model.layers[0].self_attn
    size = _rotary_size(model)
    base = head * attention.head_dim
    for f in range(size // 2):
        angle = 10000.0 ** (-2 * f / size)
        if angle < 0.09:
            break
        attention.k_proj.bias[base + f] = strength
        attention.q_proj.bias[base + f] = strength * math.cos(angle * offset)
        attention.q_proj.bias[base + f + size // 2] = -strength * math.sin(angle * offset)


def _norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """LayerNorm; without a bias, RMSNorm."""
    if bias is None:
        return functional.rms_norm(x, (x.shape[-1],), weight, _RMS_EPS)
    return functional.layer_norm(x, (x.shape[-1],), weight, bias, _LAYER_EPS)


def _layer(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: int, *w: torch.Tensor | None) -> torch.Tensor:
    """One layer, written out so that it compiles to few passes over memory; attention runs in float32."""
    norm, norm_b, q_w, q_b, k_w, k_b, v_w, v_b, o_w, norm2, norm2_b, gate, up, down = w
    rows, length, width = x.shape
    h = _norm(x, norm, norm_b)

    def split(t: torch.Tensor) -> torch.Tensor:
        return t.float().view(rows, length, heads, -1).transpose(1, 2)

    def rotate(t: torch.Tensor) -> torch.Tensor:
        turned, rest = t.split((cos.shape[-1], t.shape[-1] - cos.shape[-1]), -1)
        a, b = turned.chunk(2, -1)
        turned = turned * cos + torch.cat((-b, a), -1) * sin
        return torch.cat((turned, rest), -1) if rest.shape[-1] else turned

    q, k = (rotate(split(functional.linear(h, m, b))) for m, b in ((q_w, q_b), (k_w, k_b)))
    v = split(functional.linear(h, v_w, v_b))
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + functional.linear(mixed.transpose(1, 2).reshape(rows, length, width), o_w)
    h = _norm(x, norm2, norm2_b)
    return x + functional.linear(functional.silu(functional.linear(h, gate)) * functional.linear(h, up), down)


class Forward:
    """The model's forward pass to the last hidden states, twice as fast as the library's on a CPU, same result."""

    def __init__(self, model: PreTrainedModel, compiled: bool) -> None:
        self.model = model
        torch._dynamo.config.cache_size_limit = 64
        self.layer = torch.compile(_layer, dynamic=False) if compiled else _layer
        positions, size = torch.arange(model.config.max_position_embeddings)[:, None], _rotary_size(model)
        angles = positions * 10000.0 ** (-torch.arange(0, size, 2) / size)
        self.cos, self.sin = (torch.cat((f, f), -1).to(model.device) for f in (angles.cos(), angles.sin()))

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        body, heads = self.model.model, self.model.config.num_attention_heads
        x = body.embed_tokens(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in body.layers:
            a, m = block.self_attn, block.mlp
            weights = (
                *_scales(block.input_layernorm),
                *(a.q_proj.weight, a.q_proj.bias, a.k_proj.weight, a.k_proj.bias, a.v_proj.weight, a.v_proj.bias),
                *(a.o_proj.weight, *_scales(block.post_attention_layernorm)),
                *(m.gate_proj.weight, m.up_proj.weight, m.down_proj.weight),
            )
            x = self.layer(x, cos, sin, heads, *weights)
        return _norm(x, *_scales(body.norm))


def _scales(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weight and bias of a norm; an RMSNorm has no bias."""
    return norm.weight, norm.bias if isinstance(norm, nn.LayerNorm) else None


def exported(model: PreTrainedModel) -> PreTrainedModel:
    """A copy in the form that is written: in an architecture whose loaders take the files' tokenizer as it is."""
    return as_llama(model) if isinstance(model, Qwen2ForCausalLM) else copy.deepcopy(model)


def as_llama(model: Qwen2ForCausalLM) -> LlamaForCausalLM:
    """The same function as a Llama model (with biases, that of the output projection zero).

    Loaders take a tokenizer for a Qwen2 model to be Qwen2's own and split text as that one does, whatever its files
    say; for a Llama model they take the files' word.
    """
    old = model.config
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=old.vocab_size,
            hidden_size=old.hidden_size,
            intermediate_size=old.intermediate_size,
            num_hidden_layers=old.num_hidden_layers,
            num_attention_heads=old.num_attention_heads,
            num_key_value_heads=old.num_key_value_heads,
            max_position_embeddings=old.max_position_embeddings,
            rms_norm_eps=old.rms_norm_eps,
            rope_parameters=old.rope_parameters,
            attention_bias=True,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=old.eos_token_id,
            pad_token_id=old.pad_token_id,
        )
    )
    missing, unexpected = llama.load_state_dict(model.state_dict(), strict=False)
    if unexpected or any(not name.endswith("o_proj.bias") for name in missing):
        raise TrainingError(f"cannot export the model as Llama: missing {missing}, unexpected {unexpected}")
    with torch.no_grad():
        for block in llama.model.layers:
            block.self_attn.o_proj.bias.zero_()
    return llama
