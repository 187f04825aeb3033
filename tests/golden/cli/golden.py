#!/usr/bin/env python3
"""Run `norn` with command lines, good and bad, and compare all that it says with the files here.

usage: golden.py [--update] NORN SOURCE_DIR

NAME.txt holds the exit status, stdout and stderr of case NAME. --update writes what was seen: read the
diff before you commit it. Files are made in a scratch folder, whose path shows as $TMP, the movielens
package's as $PKG.
"""
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent

# name: arguments. Words in braces are files that make_files() makes.
CASES = {
    "no-command": "",
    "unknown-command": "compil x.onnx",
    "unknown-command-far": "frobnicate",
    "unknown-option": "run {pkg} --outputdir out",
    "unknown-option-far": "run {pkg} --zzzzzz",
    "option-without-value": "compile {pkg} -o",
    "option-with-value-that-takes-none": "bench {pkg} --json=yes",
    "check-keys-with-a-value": "check --keys=yes",
    "inspect-json-with-a-value": "inspect --json=1 nowhere",
    "compile-explain-with-an-empty-value": "compile --explain= nowhere",
    "number-that-is-none": "bench {pkg} --batch many",
    "negative-duration": "bench {pkg} --duration -1",
    "no-operand": "inspect",
    "two-operands": "inspect a.onnx b.onnx",
    "compile-without-output": "compile {pkg}",
    "compile-unknown-precision": "compile {pkg} -o {tmp}/x.norn --precision fp8",
    "compile-unknown-device": "compile {pkg} -o {tmp}/x.norn --device tpu",
    "compile-timing-cache-for-the-cpu": "compile {pkg} -o {tmp}/x.norn --timing-cache {tmp}/cache",
    "compile-explain": "compile {pkg} --explain",
    "compile-malformed-shapes": "compile {pkg} -o {tmp}/x.norn --max-shapes user_id:2x",
    "compile-shapes-of-no-input": "compile {pkg} -o {tmp}/x.norn --max-shapes ghost:2",
    "compile-shapes-of-wrong-rank": "compile {pkg} -o {tmp}/x.norn --max-shapes user_id:2x3",
    "compile-shapes-of-wrong-size": "compile {pkg} -o {tmp}/x.norn --max-shapes liked:8x49",
    "compile-unknown-pass": "compile {pkg} -o {tmp}/x.norn --print-after polish",
    "compile-batch-dim-of-no-input": "compile {pkg} -o {tmp}/x.norn --batch-dim ghost:0",
    "compile-into-no-folder": "compile {pkg} -o {tmp}/no/such/x.norn",
    "model-missing": "inspect {tmp}/none.onnx",
    "model-empty": "inspect {tmp}/empty.onnx",
    "model-text": "inspect {tmp}/text.onnx",
    "model-truncated": "inspect {tmp}/truncated.onnx",
    "folder-without-model": "inspect {tmp}/bare",
    "plan-garbage": "run {tmp}/garbage.norn",
    "plan-truncated": "run {tmp}/truncated.norn",
    "plan-flipped-byte": "run {tmp}/flipped.norn",
    "version-and-more": "--version please",
    "help-of-no-command": "help serv",
    "help-of-a-command": "help check",
    "help-of-two-commands": "help serve run",
    "input-without-file": "run {pkg} --input user_id=",
    "input-not-named": "run {pkg} --input {tmp}/ids.npy",
    "input-unknown": "run {pkg} --input ghost={tmp}/ids.npy",
    "input-twice": "run {pkg} --input user_id={tmp}/ids.npy --input user_id={tmp}/ids.npy",
    "input-missing-file": "run {pkg} --input user_id={tmp}/none.npy",
    "input-not-npy": "run {pkg} --input user_id={tmp}/text.onnx",
    "input-truncated": "run {pkg} --input user_id={tmp}/truncated.npy",
    "input-wrong-type": "run {pkg} --input user_id={tmp}/floats.npy",
    "input-wrong-rank": "run {pkg} --input user_id={tmp}/matrix.npy",
    "input-wrong-size": "run {pkg} --input liked={tmp}/matrix.npy",
    "inputs-disagree": "run {pkg} --input user_id={tmp}/ids.npy --input item_id={tmp}/more_ids.npy",
    "expect-missing": "run {pkg} --batch 3 --expect {tmp}/bare",
    "expect-other-shape": "run {pkg} --batch 3 --expect {tmp}/other",
    "expect-differs": "run {pkg} --batch 2 --expect {tmp}/zeros",
    "table-missing": "run {tmp}/no_table --batch 2",
    "table-garbage": "run {tmp}/bad_table --batch 2",
    "check-no-folder": "check {tmp}/text.onnx",
    "check-missing-table": "check {tmp}/no_table",
    "check-misspelt-config": "check {tmp}/misspelt",
    "check-malformed-config": "check {tmp}/malformed",
    "check-keys": "check --keys",
    "check-keys-of-a-package": "check {pkg} --keys",
    "compile-device-gpu": "compile {pkg} -o {tmp}/x.norn --device gpu",
    "compile-no-batch": "compile {pkg} -o {tmp}/x.norn --max-batch 0",
    "compile-overflowing-batch": "compile {pkg} -o {tmp}/x.norn --max-batch 99999999999999999999",
    "compile-negative-batch": "compile {pkg} -o {tmp}/x.norn --max-batch -4",
    "compile-empty-output": "compile {pkg} -o=",
    "run-device-gpu": "run {pkg} --device cuda:x",
    "bench-device-of-cpu": "bench {pkg} --device cpu:1",
    "bench-no-callers": "bench {pkg} --concurrency 0",
    "bench-blank-before-a-number": "bench {pkg} --batch=+8",
    "compile-output-without-effect": "compile {pkg} -o {tmp}/x.norn --stop-after fold_constants",
    "run-tolerance-without-effect": "run {pkg} --rtol 1e-3",
    "run-no-input-dir": "run {pkg} --input-dir {tmp}/nowhere",
    "inspect-two-forms": "inspect {pkg} --json --html {tmp}/x.html",
    "inspect-nodes-without-effect": "inspect {pkg} --json --nodes",
    "inspect-batch-without-effect": "inspect {pkg} --graph --batch 4",
    "check-device-gpu": "check {tmp}/gpu",
    "check-profile-of-no-input": "check {tmp}/ghost",
    "check-profile-of-wrong-size": "check {tmp}/wide",
    "check-ignored-config": "check {tmp}/triton/1",
    "run-plan-for-another-device": "run {tmp}/whole.norn --device cuda",
    "bench-plan-in-another-precision": "bench {tmp}/whole.norn --precision tf32",
    "bench-plan-with-a-profile": "bench {tmp}/whole.norn --max-batch 9",
    "compile-tf32-for-the-cpu": "compile {pkg} -o {tmp}/x.norn --device cpu --precision tf32",
    "run-batch-that-inputs-overrule": "run {pkg} --input user_id={tmp}/ids.npy --batch 3",
    "run-batch-that-shapes-overrule": "run {pkg} --shapes user_id:2 --batch 3",
    "run-shape-of-a-given-input": "run {pkg} --input user_id={tmp}/ids.npy --shapes user_id:2",
    "run-input-dir-without-inputs": "run {pkg} --input-dir {tmp}/bare",
    "run-too-little-memory": "run {pkg} --batch 100000 --max-memory 1",
    "serve-without-repository": "serve",
    "serve-device-gpu": "serve --repository {tmp}/triton --device gpu",
    "serve-no-batch": "serve --repository {tmp}/triton --max-batch 0",
    "serve-no-queue": "serve --repository {tmp}/triton --queue-limit 0",
    "serve-too-many-threads": "serve --repository {tmp}/triton --threads 1025",
    "serve-port-too-high": "serve --repository {tmp}/triton --http-port 65536",
    "serve-one-port-for-two": "serve --repository {tmp}/triton --http-port 9000 --metrics-port 9000",
    "serve-default-port-taken-twice": "serve --repository {tmp}/triton --http-port 8001",
    "serve-port-without-effect": "serve --repository {tmp}/triton --no-grpc --grpc-port 9000",
    "serve-nothing": "serve --repository {tmp}/triton --no-http --no-grpc",
    "serve-no-such-host": "serve --repository {tmp}/triton --host 256.0.0.1 --http-port 0 --grpc-port 0 --metrics-port 0",
    "serve-unknown-control": "serve --repository {tmp}/triton --model-control poll",
    "inspect-package": "inspect {pkg}",
    "store-without-a-verb": "store",
    "store-unknown-verb": "store exprot",
    "store-help": "store --help",
    "store-import-help": "store import --help",
    "store-export-help": "store export --help",
    "store-stat-help": "store stat --help",
    "store-get-help": "store get --help",
    "store-apply-help": "store apply --help",
    "store-verify-help": "store verify --help",
    "store-import-without-out": "store import {tmp}/ids.npy",
    "store-stat-of-a-package": "store stat {pkg}",
    "store-stat-of-nothing": "store stat {tmp}/bare",
    "store-get-of-a-package": "store get {pkg} item 1 -1",
    "store-get-step-without-log": "store get {pkg} item 1 --step 4",
    "store-get-no-number": "store get {pkg} item one",
    "store-get-without-keys": "store get {pkg} item",
    "store-apply-without-log": "store apply {pkg} --out {tmp}/x",
    "store-verify-of-a-package": "store verify {pkg}",
    "store-verify-bad-table": "store verify {tmp}/bad_table",
    "publish-help": "help publish",
    "publish-full-help": "publish full --help",
    "publish-delta-help": "publish delta --help",
    "publish-full-without-to": "publish full {pkg}",
    "publish-full-no-package": "publish full {tmp}/bare --to {tmp}/model",
    "publish-delta-of-nothing": "publish delta --to {tmp}/bare",
    "publish-delta-no-version": "publish delta --to {tmp}/bare --rows user={tmp}/ids.npy",
    "publish-too-many-partitions": "publish full {pkg} --to {tmp}/model --create-log 1025",
}


# What changes with the machine, or with parts of Norn that this test is not about.
VARIES = (
    (r"(score +\S+ +max abs) .*", r"\1 ..."),
    (r"(element 0, is) [0-9.e-]+", r"\1 ..."),
    (r"compiled in [0-9.]+ s", "compiled in ... s"),
    (r"the passes are .*", "the passes are ..."),
    (r"(host '256.0.0.1': )[^;]*", r"\1..."),
    (r"has \d+ bytes, it should have \d+", "has ... bytes, it should have ..."),
    (r"section '\w+'", "section '...'"),
)


def npy(path, descr, shape, data):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


def make_files(norn, package, tmp):
    model = (package / "model.onnx").read_bytes()
    (tmp / "empty.onnx").write_bytes(b"")
    (tmp / "text.onnx").write_text("This is no model.\n")
    (tmp / "truncated.onnx").write_bytes(model[:len(model) // 2])
    (tmp / "bare").mkdir()
    plan = tmp / "whole.norn"
    subprocess.run([norn, "compile", package, "-o", plan], check=True, capture_output=True)
    whole = plan.read_bytes()
    (tmp / "garbage.norn").write_bytes(b"garbage!" * 64)
    (tmp / "truncated.norn").write_bytes(whole[:len(whole) // 2])
    (tmp / "flipped.norn").write_bytes(whole[:-5000] + bytes([whole[-5000] ^ 0x10]) + whole[-4999:])
    npy(tmp / "ids.npy", "<i8", "(2,)", struct.pack("<2q", 1, 2))
    npy(tmp / "more_ids.npy", "<i8", "(3,)", struct.pack("<3q", 1, 2, 3))
    npy(tmp / "matrix.npy", "<i8", "(2, 3)", struct.pack("<6q", *range(6)))
    npy(tmp / "floats.npy", "<f4", "(2,)", struct.pack("<2f", 1, 2))
    (tmp / "truncated.npy").write_bytes((tmp / "ids.npy").read_bytes()[:-3])
    for name, count in (("zeros", 2), ("other", 4)):
        (tmp / name).mkdir()
        npy(tmp / name / "score.npy", "<f4", f"({count},)", bytes(4 * count))
    for name in ("no_table", "bad_table", "misspelt", "malformed"):
        shutil.copytree(package, tmp / name)
    (tmp / "no_table/tables/item.safetensors").unlink()
    (tmp / "bad_table/tables/item.safetensors").write_bytes(b"\xff" * 32)
    for name, text in (("gpu", '{"device": "gpu"}'), ("ghost", '{"profile": {"max": {"nobody": [8]}}}'),
                       ("wide", '{"profile": {"opt": {"liked": [8, 49]}}}')):
        shutil.copytree(package, tmp / name)
        (tmp / name / "norn.json").write_text(text)
    shutil.copytree(package, tmp / "triton/1")
    (tmp / "triton/config.pbtxt").write_text("max_batch_size: 8")
    (tmp / "misspelt/norn.json").write_text('{"profle": {"max_batch": 8}}')
    (tmp / "malformed/norn.json").write_text('{"profile": {"max_batch": 8}')


def run_case(norn, arguments, package, tmp):
    words = [word.format(tmp=tmp, pkg=package) for word in arguments.split()]
    done = subprocess.run([norn, *words], capture_output=True, text=True, timeout=120, cwd=tmp)
    text = f"$ norn {arguments}\nexit {done.returncode}\n--- stdout\n{done.stdout}--- stderr\n{done.stderr}"
    text = text.replace(str(tmp), "$TMP").replace(str(package), "$PKG")
    for pattern, cut in VARIES:
        text = re.sub(pattern, cut, text)
    return text


def main():
    arguments = [a for a in sys.argv[1:] if a != "--update"]
    norn, source = pathlib.Path(arguments[0]).resolve(), pathlib.Path(arguments[1]).resolve()
    package = source / "examples/movielens/repository/movielens/1"
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        tmp = pathlib.Path(folder).resolve()
        make_files(norn, package, tmp)
        for name, command in CASES.items():
            page, seen = HERE / f"{name}.txt", run_case(norn, command, package, tmp)
            if "--update" in sys.argv:
                page.write_text(seen)
            elif not page.exists() or page.read_text() != seen:
                failed += 1
                wanted = page.read_text() if page.exists() else "(no file)\n"
                print(f"--- {name}: expected\n{wanted}--- {name}: seen\n{seen}")
    stale = {page.stem for page in HERE.glob("*.txt")} - set(CASES) - {"CMakeLists"}
    if stale:
        print(f"files of no case: {sorted(stale)}")
    print(f"{len(CASES) - failed} of {len(CASES)} cases as expected")
    return 1 if failed or stale else 0


if __name__ == "__main__":
    sys.exit(main())
