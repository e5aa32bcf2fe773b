#!/usr/bin/env bash
# Builds the kernels with the address and undefined-behaviour sanitizers and runs them, with every instruction set of
# this machine, over random and damaged text for a bounded time.
#   scripts/sanitize.sh [seconds, default 15] [seed, default 1]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-15}"
seed="${2:-1}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${CXX:-g++}" -std=c++17 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
  -Wall -Wextra -Isrc/tamis/kernels tests/kernels/fuzz.cpp -o "$work/fuzz"
ASAN_OPTIONS=detect_leaks=1 "$work/fuzz" "$seconds" "$seed"
