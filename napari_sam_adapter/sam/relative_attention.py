"""Attention with relative positions, as in SAM's plain ViT, at the size of the real tokens.

`segment_anything` pads a grid with zeros to whole windows, computes queries, keys and values of the
padding too, and holds the attention of all tokens to all tokens at once, several times. Here,
queries are those of real tokens, the padding's keys and values are the biases they are, and
attention goes by pieces: the same numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from napari_sam_adapter.sam.attention import attention
from napari_sam_adapter.sam.modeling import Attention, get_rel_pos
from napari_sam_adapter.sam.window_attention import WindowGroup, reordered, window_order

# Scores that are held at once, in fp32. On a CPU four times as much is no faster, and memory is the
# user's; a GPU wants large pieces of work, and so do products in bf16: twice as much.
PIECE_BYTES = {"cpu": 16 * 1024**2, "other": 512 * 1024**2}


def attend(module: Attention, x: Tensor, window: int) -> Tensor:
    """Compute what a block's ``attn`` does, windows included.

    Parameters
    ----------
    module : segment_anything.modeling.image_encoder.Attention
        With relative positions; frozen.
    x : Tensor, shape (B, h, w, C)
        After the block's first norm.
    window : int
        Side of the windows in tokens; 0 is global attention.

    Returns
    -------
    Tensor, shape (B, h, w, C)
    """
    batch, height, width, channels = x.shape
    if not window:
        qkv = module.qkv(x.flatten(1, 2))
        group = WindowGroup(height, width, 0, height * width)
        y = _attend_group(module, qkv, group, (height, width))
        projected: Tensor = module.proj(y)
        return projected.view(batch, height, width, channels)
    windows = window_order(height, width, window, x.device)
    qkv = module.qkv(reordered(x.flatten(1, 2), windows.order, windows.inverse))
    parts = torch.split(qkv, [group.last - group.first for group in windows.groups], 1)
    attended = [
        _attend_group(module, part, group, (window, window))
        for part, group in zip(parts, windows.groups, strict=True)
    ]
    y = reordered(module.proj(torch.cat(attended, 1)), windows.inverse, windows.order)
    return y.view(batch, height, width, channels)


def _attend_group(
    module: Attention, qkv: Tensor, group: WindowGroup, side: tuple[int, int]
) -> Tensor:
    """Map (B, n, 3 C), the tokens of windows of one size, to (B, n, C)."""
    batch, n, _ = qkv.shape
    rows, columns = group.rows, group.columns
    with torch.no_grad():
        down = get_rel_pos(side[0], side[0], module.rel_pos_h)[:rows].to(qkv.dtype)
        right = get_rel_pos(side[1], side[1], module.rel_pos_w)[:columns].to(qkv.dtype)
    # (windows, heads, rows, columns, d) each
    q, k, v = (
        qkv.reshape(-1, rows, columns, 3, module.num_heads, qkv.shape[-1] // (3 * module.num_heads))
        .permute(3, 0, 4, 1, 2, 5)
        .unbind(0)
    )
    if (rows, columns) != side:
        _, bias_k, bias_v = module.qkv.bias.view(3, module.num_heads, 1, 1, -1).unbind(0)
        k, v = _padded(k, bias_k, side), _padded(v, bias_v, side)
    k, v = k.flatten(2, 3), v.flatten(2, 3)
    needs_grad = torch.is_grad_enabled() and qkv.requires_grad
    limit = PIECE_BYTES["cpu" if q.device.type == "cpu" else "other"]
    if q.dtype == torch.bfloat16:
        limit *= 2
    per_row = q.element_size() * module.num_heads * columns * k.shape[2]
    rows_at_once = max(1, min(rows, limit // per_row))
    windows_at_once = max(1, limit // (per_row * rows))
    pieces = []
    for first in range(0, len(q), windows_at_once):
        chosen = slice(first, first + windows_at_once)
        bands = []
        for top in range(0, rows, rows_at_once):
            band = slice(top, top + rows_at_once)
            given = (q[chosen, :, band], k[chosen], v[chosen], down[band], right)
            if needs_grad and rows_at_once < rows:
                bands.append(checkpoint(_attend_piece, *given, use_reentrant=False))
            else:
                bands.append(_attend_piece(*given))
        pieces.append(torch.cat(bands, 1) if len(bands) > 1 else bands[0])
    y = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
    return y.reshape(batch, n, -1)


def _attend_piece(q: Tensor, k: Tensor, v: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Attend from some rows of queries to all keys.

    Parameters
    ----------
    q : Tensor, shape (windows, heads, rows, columns, d)
    k, v : Tensor, shape (windows, heads, n, d)
    down : Tensor, shape (rows, key rows, d)
        Relative positions of each row to each row of keys.
    right : Tensor, shape (columns, key columns, d)

    Returns
    -------
    Tensor, shape (windows, rows * columns, heads * d)
    """
    by_row = torch.einsum("nhrcd,rkd->nhrck", q, down)
    by_column = torch.einsum("nhrcd,ckd->nhrck", q, right)
    bias = (by_row[..., None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
    q = q.flatten(2, 3)
    y = attention(q, k, v, bias)
    together: Tensor = y.transpose(1, 2).flatten(2)
    return together


def _padded(x: Tensor, bias: Tensor, side: tuple[int, int]) -> Tensor:
    """Fill (windows, heads, rows, columns, d) up to whole windows with what zeros become."""
    pad = (0, 0, 0, side[1] - x.shape[3], 0, side[0] - x.shape[2])
    beyond = functional.pad(x.new_zeros(1, 1, x.shape[2], x.shape[3], 1), pad, value=1.0)
    return functional.pad(x, pad) + beyond * bias.to(x.dtype)
