"""benchmarks/gpu/sass.py: its reading of machine code, and the kernels against its table."""

from __future__ import annotations

import json
import shutil

import pytest

from benchmarks.gpu import sass, sass_cases
from benchmarks.gpu.steps import MissingToolError

#: As nvdisasm 13 prints it: a loop in a loop, of which the inner one works.
LISTING = """\
\t.section\t.text._Z4workPf,"ax",@progbits
.text._Z4workPf:
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_1:
        /*0010*/                   LDG.E R1, desc[UR4][R2.64] ;
.L_x_0:
        /*0020*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0030*/                   LDS.128 R8, [R3] ;
        /*0040*/                   FFMA R1, R4, R5, R1 ;
        /*0050*/               @P1 STG.E.64 desc[UR4][R2.64], R4 ;
        /*0060*/               @P0 BRA `(.L_x_0) ;
        /*0070*/              @!P1 BRA `(.L_x_1) ;
        /*0080*/                   EXIT ;
\t.section\t.text._Z5otherPf,"ax",@progbits
        /*0000*/                   EXIT ;
"""
REPORT = """\
ptxas info    : Compiling entry function '_Z4workPf' for 'sm_90'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers
"""


@pytest.mark.parametrize("multiplies", [False, True])
def test_the_innermost_loop_is_counted(multiplies: bool) -> None:
    (kernel,) = sass.kernels_in(LISTING, REPORT, multiplies)
    assert (kernel.name, kernel.registers) == ("_Z4workPf", 40)
    assert kernel.loops == (sass.Counts(5, 1, 8, 1, 1, 1, shared_cycles=4),)
    assert kernel.others == sass.Counts(4, 1, 0, 0, 0, 0)


COPYING = """\
\t.section\t.text._Z4workPf,"ax",@progbits
.L_x_1:
        /*0000*/                   DEPBAR.LE SB0, 0x0 ;
.L_x_0:
        /*0010*/              @!PT LDS RZ, [RZ] ;
        /*0020*/               @P2 LDGSTS.E.64 [R24], desc[UR4][R2.64] ;
        /*0030*/               @P0 BRA `(.L_x_0) ;
        /*0040*/                   LDGDEPBAR ;
        /*0050*/                   LDSM.16.MT88.4 R8, [R3] ;
        /*0060*/                   HMMA.16816.F32 R20, R4, R8, R20 ;
        /*0070*/              @!P1 BRA `(.L_x_1) ;
        /*0080*/                   EXIT ;
\t.section\t.text._Z5otherPf,"ax",@progbits
        /*0000*/                   EXIT ;
"""


def test_a_loop_that_copies_is_inside_the_work() -> None:
    (kernel,) = sass.kernels_in(COPYING, REPORT, multiplies=True)
    assert kernel.loops == (sass.Counts(8, 1, 0, 0, 1, 64, shared_cycles=4, products=1),)
    assert kernel.nested == sass.Counts(3, 1, 0, 0, 0, 0)
    assert kernel.others.instructions == 1


def test_registers_threads_and_shared_memory_limit_the_blocks() -> None:
    h200 = sass.DEVICES["H200"]
    plain = next(case for case in sass_cases.CASES if case.threads == 256 and not case.shared_bytes)
    assert sass.resident_blocks(32, plain, h200) == 8  # 64 warps
    assert sass.resident_blocks(128, plain, h200) == 2  # 65536 registers
    tiled = next(case for case in sass_cases.CASES if case.shared_bytes)
    most = h200.shared_bytes // (tiled.shared_bytes + 1024)
    assert sass.resident_blocks(16, tiled, h200) <= most


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_kernel_has_lost_ground() -> None:
    """Against the committed table. After a gain, `python -m benchmarks.gpu.sass --write`."""
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is absent: the kernels cannot be compiled")
    try:
        sass.nvdisasm()
    except MissingToolError as error:
        pytest.skip(f"{error}: install nvidia-cuda-nvdisasm")
    committed, found = json.loads(sass.TABLE.read_text()), sass.table()
    assert found["rows"].keys() == committed["rows"].keys()
    if found["nvcc"] == committed["nvcc"]:
        assert found == committed
    worse = {
        f"{name}: {figure}": (before[figure], found["rows"][name][figure])
        for name, before in committed["rows"].items()
        for figure in ("registers", "instructions_per_output", "stores_per_output", "modelled_us")
        if found["rows"][name][figure] > 1.1 * before[figure]
    }
    assert not worse
