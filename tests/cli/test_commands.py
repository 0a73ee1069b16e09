"""The commands as their users see them: what they print, and one clear line when something is wrong."""

import csv
import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from bitsim import from_json, read_outcome
from bitsim.cli.main import main
from bitsim.hw import chip_names
from bitsim.model.catalogue import model_path


def bitsim(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    code = 0
    try:
        main(list(words))
    except SystemExit as error:
        code = int(error.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_run_continues_the_prompt_and_reports_three_conventions(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = bitsim(capsys, "run", "tiny-b158", "--prompt", "In the beginning", "--new-tokens", "8")
    assert code == 0
    assert err == ""
    for expected in ("prefill", "decode", "arithmetic", "datapath", "system", "assumed constants", "not counted"):
        assert expected in out


def test_json_is_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ("run", "tiny-b158", "--prompt", "And", "--new-tokens", "2"),
        ("estimate", "bitnet-125m", "--prefill", "8", "--decode", "2"),
        ("eval", "tiny-b158", "--bytes", "300"),
        ("list",),
        ("show", "ternary-ws-64x64"),
        ("show", "7nm"),
        ("show", "sram-7nm"),
        ("datapath", "list"),
        ("datapath", "bound", "adder-tree-16x256", "--k", "6912"),
        ("datapath", "compare", "--chips", "ternary-os-64x64", "--bytes", "2"),
        ("list", "links"),
        ("list", "cpus"),
        ("estimate", "bitnet-125m", "--prefill", "2", "--decode", "1", "--experts", "4", "--active-experts", "2"),
        ("sensitivity", "tiny-b158", "--prefill", "2", "--decode", "1", "--draws", "9", "--number", "power"),
        ("show", "nvlink"),
        ("show", "apple-m2-ultra"),
        ("parallel", "bitnet-125m", "--devices", "2", "--context", "8"),
        ("machine", "--megabytes", "1", "--repeats", "1"),
        ("compare", "tiny-b158@ternary-ws-64x64", "--prompt", "And", "--new-tokens", "2"),
    ):
        code, out, err = bitsim(capsys, *words, "--json")
        assert (code, err) == (0, "")
        assert json.loads(out)


def test_out_writes_whole_files_and_leaves_no_temporary_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("estimate", "tiny-b158", "--prefill", "4", "--decode", "2", "--out", str(tmp_path / "a" / "b"))
    assert bitsim(capsys, *words)[0] == 0
    names = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    figures = {f"{stem}.{kind}" for stem in ("roofline", "time", "energy") for kind in ("png", "pdf")}
    tables = {f"{table}.csv" for table in read_outcome(tmp_path / "a" / "b" / "result.json").tables}
    assert names == figures | tables | {"result.json"}
    assert {"phases.csv", "operators.csv", "events.csv", "energy.csv"} <= tables
    header = (tmp_path / "a" / "b" / "operators.csv").read_text().splitlines()[0]
    assert header.startswith("phase,layer,operator,kind,calls,macs,cycles,time_s")


def test_datapaths_side_by_side_as_table_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    chips = "adder-tree-16x256,fp16-ws-64x64"
    words = ("datapath", "compare", "--model", "tiny-b158", "--node", "45nm", "--chips", chips, "--bytes", "3")
    code, out, err = bitsim(capsys, *words, "--out", str(tmp_path))
    assert (code, err) == (0, "")
    for expected in ("identical", "rounded", "45nm", "arithmetic", "datapath", "system", "area", "sums differ"):
        assert expected in out
    names = {path.name for path in tmp_path.iterdir()}
    tables = {f"{table}.csv" for table in ("chips", "events", "energies", "areas", "merit")}
    assert names == tables | {"compare.json", "compare.png", "compare.pdf"}
    written = read_outcome(tmp_path / "compare.json")
    assert [row["chip"] for row in written.records("chips")] == chips.split(",")
    assert len((tmp_path / "events.csv").read_text().splitlines()) == 1 + len(written.records("events"))


def test_devices_as_table_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("parallel", "bitnet-125m", "--devices", "1,4", "--context", "8", "--out", str(tmp_path))
    code, out, err = bitsim(capsys, *words)
    assert (code, err) == (0, "")
    assert {"grouped", "inference", "paper"} <= set(out.split())
    assert {path.name for path in tmp_path.iterdir()} == {f"parallel.{s}" for s in ("json", "csv", "png", "pdf")}
    rows = list(csv.DictReader((tmp_path / "parallel.csv").read_text().splitlines()))
    assert [(row["devices"], row["sync"]) for row in rows] == [
        (d, s) for d in ("1", "4") for s in ("grouped", "inference", "paper")
    ]


def test_the_machine_is_written_as_a_cpu(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert bitsim(capsys, "machine", "--megabytes", "1", "--repeats", "1", "--out", str(path))[0] == 0
    code, out, _ = bitsim(capsys, "show", str(path), "--json")
    assert code == 0
    assert json.loads(out)["bandwidth"]["evidence"] == "measured"


def test_sampling_is_repeatable_and_its_seed_matters(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", "tiny-b158", "--prompt", "And", "--new-tokens", "12", "--temperature", "1.5", "--json", "--seed")
    texts = [from_json(bitsim(capsys, *words, seed)[1]).headline()["text"] for seed in ("1", "1", "2")]
    assert texts[0] == texts[1] != texts[2]


WRONG = [
    (("run", "tiny-b185", "--prompt", "a"), "unknown model 'tiny-b185'; did you mean tiny-b158"),
    (("run", "tiny-b158", "--chip", "ternary-ws", "--prompt", "a"), "unknown chip 'ternary-ws'; did you mean ternary-"),
    (("datapath", "compare", "--node", "8 nm"), "unknown technology '8 nm'; did you mean 28nm or 7nm"),
    (("datapath", "compare", "--node", "3nm"), "3nm: expected 16nm, 22nm, 28nm, 45nm, 5nm, 65nm, 7nm or a node"),
    (("datapath", "compare", "--chips", "adder-tree"), "unknown chip 'adder-tree'; did you mean adder-tree-"),
    (("datapath", "compare", "--model", "tiny-fp16"), "expected a quantised byte-level model"),
    (("rum", "tiny-b158"), "unknown command 'rum'; did you mean run"),
    (("run", "tiny-b158", "--promt", "a"), "--prompt"),
    (("run", "tiny-b158", "--prompt", ""), "prompt is empty"),
    (("run", "tiny-b158", "--prompt", "\udcff"), "UTF-8"),
    (("run", "tiny-b158", "--prompt", "a", "--numerics", "hf_bitlinear"), "hf_bitlinear_fp32"),
    (("run", "tiny-b158", "--prompt", "a", "--numerics", "hf_bitlinear_fp32"), "hf_autobitlinear"),
    (("run", "bitnet-1.3b", "--prompt", "a"), "--random-weights"),
    (("run", "tiny-b158", "--prompt", "a" * 250, "--new-tokens", "20"), "256"),
    (("estimate", "bitnet-1.3b", "--prefill", "-1"), "prefill: expected an integer >= 0, got -1"),
    (("estimate", "bitnet-1.3b", "--out", "/dev/null/x"), "/dev/null/x"),
    (("eval", "tiny-b158", "--text", "nowhere.txt"), "nowhere.txt"),
    (("eval", "bitnet-1.3b"), "byte-level"),
    (("eval", "tiny-b158", "--acc-bits", "4"), "must be >= 9, the width of one ternary product"),
    (("eval", "tiny-b158", "--overflow", "clip"), "wrap"),
    (("eval", "tiny-b158", "--kv-bits", "5", "--bytes", "9"), "one of 32, 16, 8, 4, 3 bits"),
    (("show", "8-nm"), "did you mean"),
    (("reproduce", "enrgy"), "energy"),
    (("run", "tiny-b158", "--prompt", "a", "--seed", "-1"), "--seed"),
    (("run", "tiny-b158", "--tokens", "1,x"), "expected integers with commas between them"),
    (("run", "tiny-b158", "--prompt", "a", "--tokens", "1"), "not both"),
    (("datapath", "bund"), "bound"),
    (("datapath", "bound", "ternary-ws-64x64"), "--k"),
    (("datapath", "bound", "bitnet", "--k", "4"), "unknown chip 'bitnet'"),
    (("datapath", "bound", "ternary-ws-64x64", "--k", "4", "--model", "tiny-fp16"), "expected a quantised byte-level"),
    (("parallel", "bitnet-125m", "--devices", "8", "--pipeline", "1"), "tensor 8: expected a divisor of 12 attention"),
    (("parallel", "bitnet-125m", "--link", "nvlnk"), "unknown link 'nvlnk'; did you mean nvlink"),
    (("parallel", "bitnet-125m", "--devices", "0"), "devices: expected an integer >= 1, got 0"),
    (("estimate", "bitnet-125m", "--experts", "2", "--active-experts", "3"), "1 <= active <= total, got 3 of 2"),
    (("estimate", "bitnet-125m", "--active-experts", "2"), "--active-experts: expected --experts too"),
    (("machine", "--megabytes", "0"), "--megabytes"),
    (("compare", "@ternary-ws-64x64", "--prompt", "a"), "expected MODEL@CHIP"),
]


@pytest.mark.parametrize(("words", "expected"), WRONG)
def test_wrong_input_is_one_clear_line_with_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    code, _, err = bitsim(capsys, *words)
    assert code == 2
    assert err.startswith("bitsim: error: ")
    assert len(err.splitlines()) == 1
    assert expected in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bitsim.cli.main", "show", "3nm", "--debug"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_damaged_checkpoint_is_refused_with_file_and_tensor(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = model_path("tiny-b158")
    broken = tmp_path / "broken"
    shutil.copytree(source, broken)
    data = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(data[:-100])
    code, _, err = bitsim(capsys, "run", str(broken), "--prompt", "a")
    assert code == 2
    assert "model.safetensors" in err


@pytest.mark.parametrize("mode", ["wrap", "saturate"])
def test_an_accumulator_that_is_too_narrow_runs_and_reports_its_overflows(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, mode: str
) -> None:
    text = files("hw_models").joinpath("chips", "ternary-ws-64x64.yaml").read_text()
    for old, new in (("acc_bits: 24", "acc_bits: 10"), ("column_acc_bits: 32", "column_acc_bits: 16")):
        text = text.replace(old, new)
    chip = tmp_path / "narrow.yaml"
    chip.write_text(text.replace("overflow: wrap", f"overflow: {mode}"))
    words = ("run", "tiny-b158", "--chip", str(chip), "--prompt", "In the beginning", "--new-tokens", "1")
    code, out, _ = bitsim(capsys, *words)
    assert code == 0
    assert "overflow: layers.0.self_attn.q_proj:" in out
    assert "first at token" in out
    data = from_json(bitsim(capsys, *words, "--json")[1])
    assert sum(row["count"] for row in data.records("events") if row["event"] == "overflow.psum") > 1000
    energy = {row["convention"]: row for row in data.records("conventions")}
    assert energy["datapath"]["unpriced"] is None
    assert 0 < energy["datapath"]["low_j"] < energy["datapath"]["nominal_j"]
    assert energy["arithmetic"]["nominal_j"] > 0
    words = ("eval", "tiny-b158", "--chip", str(chip), "--bytes", "200", "--json")
    assert from_json(bitsim(capsys, *words)[1]).headline()["overflows"] > 1000


def test_eval_combines_accumulators_and_kv_widths(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("eval", "tiny-b158", "--bytes", "257", "--acc-bits", "10,24", "--kv-bits", "32,3", "--json")
    scores = from_json(bitsim(capsys, *words)[1]).records()
    assert [(s["acc_bits"], s["kv"], s["overflows"] > 0) for s in scores] == [
        (10, "32", True), (10, "kv3_bos4", True), (24, "32", False), (24, "kv3_bos4", False),
    ]  # fmt: skip
    energies = [s["energy_linears_nominal_per_byte_j"] for s in scores]
    assert energies == [energies[0]] * 2 + [energies[2]] * 2
    assert 0.3 * energies[2] < energies[0] < energies[2]
    assert all(s["energy_linears_nominal_per_byte_j"] < s["energy_datapath_per_byte_j"] for s in scores)
    narrow, _, wide, few = (s["bits_per_byte"] for s in scores)
    assert narrow > wide
    assert few != wide
    code, out, _ = bitsim(capsys, *words[:-1])
    assert code == 0
    assert "accumulator bits" in out
    assert "linears, J per byte" in out


def test_datapath_bound_gives_the_worst_case_and_what_a_model_reaches(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("datapath", "bound", "ternary-ws-64x64", "--k", "6912")
    code, out, err = bitsim(capsys, *words)
    assert (code, err) == (0, "")
    assert "-884,736 .. 884,736" in out
    words = (*words, "--model", "tiny-b158", "--bytes", "64", "--json")
    psum, column = from_json(bitsim(capsys, *words)[1]).records()
    assert (psum["worst_bits"], column["worst_bits"]) == (15, 21)  # 64 and 6912 sums of up to 128
    assert 9 < psum["seen_bits"] <= column["seen_bits"] < 21
    assert column["seen_in"].startswith("layers.")
    assert "floating-point" in bitsim(capsys, "datapath", "bound", "fp16-ws-64x64", "--k", "9")[1]


def test_datapath_list_names_every_chip(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bitsim(capsys, "datapath", "list")
    assert code == 0
    for name in chip_names():
        assert name in out
    assert "bound" in bitsim(capsys, "datapath")[1]


def test_empty_phases_give_empty_results(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("estimate", "tiny-b158", "--prefill", "0", "--decode", "0", "--out", str(tmp_path))
    assert bitsim(capsys, *words)[0] == 0
    assert read_outcome(tmp_path / "result.json").headline()["cycles"] == 0


def test_random_weights_run_a_published_shape(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", "bitnet-125m", "--random-weights", "3", "--prompt", "hi", "--new-tokens", "2", "--json")
    data = from_json(bitsim(capsys, *words)[1])
    assert (data.inputs["weights"], data.inputs["random_weights"]) == ("random", 3)
    assert [row["token"] for row in data.records("tokens")][:2] == [104, 105]
    assert any("the weights are random" in text for text in data.notes)
    assert data.records("tokens") == from_json(bitsim(capsys, *words)[1]).records("tokens")


@pytest.mark.parametrize("words", [("--help",), ("list",)])
def test_light_commands_do_not_import_the_heavy_libraries(words: tuple[str, ...]) -> None:
    code = f"import sys; from bitsim.cli.main import main; sys.argv=['bitsim', *{words!r}]\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print(sorted({'numba', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_convert_and_inspect(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(tmp_path / "tiny.gguf")
    assert bitsim(capsys, "convert", "tiny-b158", path, "--format", "gguf", "--packing", "i2_s") == (0, "", "")
    code, out, err = bitsim(capsys, "inspect", path)
    assert (code, err) == (0, "")
    for expected in ("i2_s_x86", "2.00", "bits per weight", "zeros per layer", "blk.5.ffn_down.weight", "scales: min"):
        assert expected in out
    found = json.loads(bitsim(capsys, "inspect", path, "--json")[1])
    assert found["linear_bytes"] == found["linear_weights"] // 4 + 32 * len(found["linears"])
    words = ("--prompt", "In the", "--new-tokens", "4", "--toggles", "off", "--json")
    ours, theirs = (from_json(bitsim(capsys, "run", model, *words)[1]) for model in (path, "tiny-b158"))
    assert ours.headline()["text"] == theirs.headline()["text"]
    code, out, err = bitsim(capsys, "convert", "tiny-b158", path, "--format", "gguf", "--packing", "i2_s")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "exists already" in err


def test_a_shape_is_written_with_random_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(tmp_path / "random")
    assert bitsim(capsys, "convert", "tiny-b158", path, "--format", "hf", "--random-weights", "7") == (0, "", "")
    found = json.loads(bitsim(capsys, "inspect", path, "--json")[1])
    assert found["packing"] == "2bit"
    assert 0.3 < found["zero_fraction"] < 0.36
    code, out, err = bitsim(capsys, "convert", "tiny-fp16", f"{path}2", "--format", "hf", "--random-weights", "7")
    assert (code, out) == (2, "")
    assert "tiny-fp16: has no quantised linears" in err


def test_matmuls_of_a_file_have_a_row_each_and_a_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = tmp_path / "gpt2.csv"
    listed.write_text("Layer,M,N,K\nQKT,16,32,64\nQKT,16,64,32\n", encoding="utf-8")
    code, out, err = bitsim(capsys, "matmuls", str(listed), "--chip", "adder-tree-16x256")
    assert (code, err) == (0, "")
    firsts = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert (firsts.count("QKT"), firsts.count("total")) == (2, 2)  # of the matmuls, and of areas
    code, out, _ = bitsim(capsys, "matmuls", str(listed), "--json", "--bits", "16", "--out", str(tmp_path / "out"))
    result = from_json(out)
    assert [row["macs"] for row in result.records("operators")] == [32768, 32768]
    assert (result.inputs["model"], result.records("phases")[0]["tokens"]) == ("gpt2", 16)
    assert (tmp_path / "out" / "operators.csv").exists()


def test_a_size_that_is_no_integer_is_one_line_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "own.csv"
    listed.write_text("m,k,n\n1,2,3\n1.5,2,3\n", encoding="utf-8")
    code, out, err = bitsim(capsys, "matmuls", str(listed))
    assert (code, out) == (2, "")
    assert err == f"bitsim: error: {listed}:3: m: expected an integer from 1 to 16,777,216, got '1.5'\n"
    code, _, err = bitsim(capsys, "matmuls", str(listed), "--dim", "batch")
    assert (code, "expected NAME=N, each name once, got 'batch'" in err) == (2, True)


def test_a_chip_is_priced_on_another_technology(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One's own file, a node between, and what a name beyond is told; the chip's cycles stay."""
    own = tmp_path / "mine.yaml"
    price = "{value: 1, unit: pJ, evidence: measured, source: mine}"
    own.write_text(f"kind: technology\nlike: 16nm\nprices: {{reg.clock: {price}}}\n")
    words = ("estimate", "tiny-b158", "--prefill", "2", "--decode", "1", "--json")
    heads = [
        from_json(bitsim(capsys, *words, *more)[1])
        for more in ((), ("--technology", "16nm"), ("--technology", str(own)))
    ]
    assert [head.inputs["technology"] for head in heads] == ["7nm", "16nm", "mine"]
    energies = [head.headline()["energy_datapath_j"] for head in heads]
    assert energies == sorted(energies)
    assert len({head.headline()["cycles"] for head in heads}) == 1
    code, _, err = bitsim(capsys, *words, "--technology", "90nm")
    assert code == 2
    assert "technology 90nm: expected 16nm, 22nm, 28nm, 45nm, 5nm, 65nm, 7nm or a node between 7 and 45 nm" in err
    shown = bitsim(capsys, "show", "int8-ws-64x64")[1]
    assert "1.13 ns before layout, too slow" in shown
    assert "16 nm" in bitsim(capsys, "show", str(own))[1]
