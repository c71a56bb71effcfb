#!/usr/bin/env bash
# Build everything here and check it on this machine's GPU.
#
#     bash tools/dev/gpu_check.sh FOLDER [STAGE...]
#
# Stages, in this order by default: build kernels conformance collectives memcheck racecheck bench.
# More: pairs (every pair of layouts), ranks (2 or 4 GPUs). Reports go to FOLDER, brief lines to
# standard output. Needs torch, a C++ compiler, and what pyproject.toml names; no network.
#
# PYTHON (python3), BACKEND (cuda) and WORKERS (12) may be set. A stage that takes longer than it
# should is ended, and the rest goes on. Exits with 1 when a stage failed.

set -u
PYTHON=${PYTHON:-python3} BACKEND=${BACKEND:-cuda} WORKERS=${WORKERS:-12}
out=${1:?give a folder for the reports}
shift
[ $# -gt 0 ] || set -- build kernels conformance collectives memcheck racecheck bench
mkdir -p "$out"
failed=()

# within SECONDS NAME COMMAND...: the whole output in FOLDER/NAME.log, its end here if it fails
within() {
  local seconds=$1 name=$2 start=$SECONDS
  shift 2
  # Interrupted, not killed: what is known by then is still reported.
  timeout -s INT -k 10 "$seconds" "$@" >"$out/$name.log" 2>&1
  local code=$?
  echo "-- $name: exit $code after $((SECONDS - start)) s"
  if [ $code -ne 0 ]; then
    failed+=("$name")
    tail -n "${TAIL:-15}" "$out/$name.log" | cut -c1-300
  fi
  return $code
}

brief() { "$PYTHON" tools/dev/benchmark_page.py --brief "$@" | cut -c1-220; }

install() {
  "$PYTHON" -m pip --disable-pip-version-check install -q --no-build-isolation --no-deps -e "$1"
}

conform() { "$PYTHON" -m accel_conformance run --backend "$BACKEND" "$@"; }

bench() { # NAME SECONDS ARGUMENTS...
  local name=$1 seconds=$2
  shift 2
  # The bench ends by itself, with a report of what it got to; the limit is for what hangs.
  within $((seconds + 60)) "bench-$name" "$PYTHON" -m accel_tools bench "$@" \
    --backend "$BACKEND" --within "$seconds" --json "$out/bench-$name.json"
  [ -f "$out/bench-$name.json" ] || return
  # Of very many rows, those that are furthest from a plain copy.
  if [ "$name" = pairs ]; then brief "$out/bench-$name.json" | sort -n | head -n 20
  else brief "$out/bench-$name.json"; fi
}

# Some cases of each kernel family: all of them would take hours under the sanitizer.
SANITIZED=(
  dtype dtype_by_block strides memory out_of_range_on_the_device swap_blocks copy_blocks
  gather_random write_strides quantized_strides convert_dtypes quantize_shapes dequantize
  rope_strides rope_slots upload_lengths entropy_shape entropy_streams
)

sanitize() { # TOOL
  local tool=$1 cases=() name
  for name in "${SANITIZED[@]}"; do cases+=(--case "L2-kv::$name"); done
  # Memory from the driver itself, so that each allocation has bounds of its own. A call that is
  # refused is no error here: asking what kind of memory pageable memory is, for one.
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 within "${SANITIZER_SECONDS:-100}" "$tool" \
    compute-sanitizer --tool "$tool" --target-processes all --error-exitcode 9 --print-limit 20 \
    --report-api-errors no \
    "$PYTHON" -m accel_conformance run --backend "$BACKEND" -n 0 --quick --patience 20 \
    --json "$out/conformance-$tool.json" "${cases[@]}"
  grep -h 'ERROR SUMMARY\|RACECHECK SUMMARY' "$out/$tool.log" | sort | uniq -c
  [ -f "$out/conformance-$tool.json" ] && brief "$out/conformance-$tool.json"
}

for stage; do
  case $stage in
    build)
      within 60 install-core bash -c "$(declare -f install); PYTHON=$PYTHON
        for p in core conformance tools; do install \$p || exit 1; done"
      within 150 install-cpu bash -c "$(declare -f install); PYTHON=$PYTHON; install backends/cpu" &
      within 150 "install-$BACKEND" bash -c "$(declare -f install); PYTHON=$PYTHON; install backends/$BACKEND"
      wait
      within 60 doctor "$PYTHON" -m accel_tools doctor && tail -n 25 "$out/doctor.log" | cut -c1-200
      ;;
    kernels)
      # Ahead of the workers, which would each compile the same.
      if "$PYTHON" -m accel_tools build-kernels --help >/dev/null 2>&1; then
        within 90 kernels "$PYTHON" -m accel_tools build-kernels
      fi
      ;;
    conformance)
      within "${CONFORMANCE_SECONDS:-240}" conformance bash -c "$(declare -f conform)
        PYTHON=$PYTHON BACKEND=$BACKEND
        conform -n $WORKERS --json '$out/conformance-$BACKEND.json' --markdown '$out/conformance-$BACKEND.md' ${CONFORMANCE:-}"
      [ -f "$out/conformance-$BACKEND.json" ] && brief "$out/conformance-$BACKEND.json" | head -n 60
      ;;
    collectives)
      # All ranks on one GPU, which NCCL does not take: staged through pinned memory and gloo.
      LOCAL_WORLD_SIZE=64 within 150 collectives "$PYTHON" -m accel_conformance run \
        --backend "$BACKEND" -n 4 --level L3 --json "$out/conformance-staged.json" \
        --markdown "$out/conformance-staged.md"
      [ -f "$out/conformance-staged.json" ] && brief "$out/conformance-staged.json" | head -n 30
      ;;
    ranks)
      # One set of ranks at a time: those of two would wait for one another's time on the GPUs.
      within 240 ranks "$PYTHON" -m accel_conformance run --backend "$BACKEND" -n 1 --level L3 \
        --json "$out/conformance-ranks.json" --markdown "$out/conformance-ranks.md"
      [ -f "$out/conformance-ranks.json" ] && brief "$out/conformance-ranks.json" | head -n 30
      within 100 peers "$PYTHON" -m accel_conformance run --backend "$BACKEND" -n "$WORKERS" \
        --level L0..L2 --quick --json "$out/conformance-peers.json"
      [ -f "$out/conformance-peers.json" ] && brief "$out/conformance-peers.json" | head -n 30
      ;;
    memcheck | racecheck) sanitize "$stage" ;;
    bench)
      bench calls 30 calls --seconds 0.1
      bench decode 30 decode --png "$out/decode.png"
      bench kv 70 kv --shape llama-3-8b --no-torch --seconds 0.1 --plot "$out/kv.png"
      bench mla 20 kv --shape deepseek-v3-mla --tokens 2048 --no-torch --seconds 0.1 --only paged
      bench rope 20 kv --shape llama-3-8b --tokens 16384 --no-torch --seconds 0.1 --only rope
      bench memcpy 30 memcpy --no-torch --seconds 0.1 --max-bytes 256M
      bench staging 30 staging --seconds 0.1 --max-bytes 256M --png "$out/staging.png"
      ;;
    pairs) bench pairs 45 kv --shape llama-3-8b --tokens 2048 --every-pair --no-torch --seconds 0.02 ;;
    *) echo "no such stage: $stage" && failed+=("$stage") ;;
  esac
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" && exit 1; }
