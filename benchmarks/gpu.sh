#!/bin/sh
# Everything that is to be known of a GPU, in one command of less than ten minutes. Each part prints its rows as
# it goes, so that what was measured before an end stands in the log.
#
#   sh benchmarks/gpu.sh            on the GPU of this machine
#   sh benchmarks/gpu.sh cpu        a dry run of the same parts, all small, where there is none
#
# PARTS names some of them, LIMIT the seconds that each may take.
set -u
device=${1:-cuda}
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
failed=0
for part in ${PARTS:-machine layouts predict crops data steps methods}; do
    echo "== $part"
    timeout "${LIMIT:-110}" "$python" benchmarks/gpu.py "$part" --device "$device" || failed=1
done
exit $failed
