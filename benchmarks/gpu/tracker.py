"""The default tracker on the GPU, through torch and torch.ops.cineflow: accuracy and speed.

A speckle texture moves by a known translation per frame; flow and composed displacement are
compared with that motion and with the same model on the CPU. Figures are printed as JSON.
"""

from __future__ import annotations

import json
import statistics
import time
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom

from cineflow import ops
from cineflow.models.lucas_kanade import LucasKanade

SIDE = 224
FRAMES = 12
STEP = (0.75, -0.5)  # pixels per frame, x and y
MARGIN = 32  # px that are not checked: the tissue there came from outside the image
LARGEST_ERROR = 0.1  # px, of the mean flow of a frame pair
LARGEST_DIFFERENCE = 2e-2  # px, between GPU and CPU, which sum f32 convolutions in another order


def speckle() -> torch.Tensor:
    """Frames [T, 1, H, W], grey levels: one texture, shifted in the frequency domain."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(SIDE, SIDE, generator=generator)
    fy = torch.fft.fftfreq(SIDE)[:, None]
    fx = torch.fft.fftfreq(SIDE)[None]
    spectrum = torch.fft.fft2(noise) * torch.exp(-((fx**2 + fy**2) * 180))
    frames = []
    for index in range(FRAMES):
        shift = torch.exp(-2j * torch.pi * (fx * STEP[0] + fy * STEP[1]) * index)
        frames.append(torch.fft.ifft2(spectrum * shift).real)
    cine = torch.stack(frames)[:, None]
    return 128 + 40 * cine / cine.std()


def track(model: LucasKanade, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flow of each pair [T - 1, 2, H, W], and the displacement from first to last frame."""
    flows = [model(a[None], b[None]) for a, b in pairwise(frames)]
    displacement = flows[0]
    for flow in flows[1:]:
        displacement = ops.compose_flow(displacement, flow)
    return torch.cat(flows), displacement


def inner(field: torch.Tensor) -> torch.Tensor:
    return field[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def largest_error(field: torch.Tensor, steps: int) -> float:
    """Error of the mean motion, px: the larger of the two components."""
    wanted = torch.tensor(STEP, device=field.device) * steps
    return float((inner(field).mean((-2, -1)) - wanted).abs().max())


def main() -> None:
    torch.backends.cudnn.allow_tf32 = False  # the CPU has no TF32, and both must compute in f32
    frames = speckle()
    model = LucasKanade().eval()
    with torch.inference_mode():
        flow, displacement = track(model, frames)
        model, on_gpu = model.cuda(), frames.cuda()
        gpu_flow, gpu_displacement = track(model, on_gpu)
        difference = float((inner(gpu_flow).cpu() - inner(flow)).abs().max())
        # For comparison: "no motion" is wrong by the full motion.
        errors = {"flow": largest_error(gpu_flow, 1), "still": max(map(abs, STEP))}
        errors["displacement"] = largest_error(gpu_displacement, FRAMES - 1)
        errors["displacement_cpu"] = largest_error(displacement, FRAMES - 1)
        times = []
        for _ in range(20):
            torch.cuda.synchronize()
            start = time.perf_counter()
            model(on_gpu[:1], on_gpu[1:2])
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    assert F.mse_loss(on_gpu[0], on_gpu[1]) > 0, "the frames do not move"
    assert difference < LARGEST_DIFFERENCE, f"GPU and CPU differ by {difference} px"
    assert errors["flow"] < LARGEST_ERROR, f"flow is wrong by {errors['flow']} px"
    assert errors["displacement"] < LARGEST_ERROR * (FRAMES - 1), errors
    figures = {
        "frame": f"{SIDE}x{SIDE}",
        "median_ms": round(statistics.median(times) * 1e3, 3),
        "gpu_minus_cpu_px": difference,
        "mean_error_px": errors,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
