#!/bin/sh
# Our reader of properties files against the JDK's own, over a corpus and generated files. SEED repeats a run, COUNT
# says how many files are generated.
set -eu
command -v java >/dev/null || { echo "no java: skipped"; exit 77; }
src=${srcdir:-.}/tests/properties
seed=${SEED:-$(date +%s)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

mkdir "$work/files"
echo "seed $seed"
./tests/properties/properties generate "$work/files" "${COUNT:-3000}" "$seed"
./tests/properties/properties dump "$work/files" >"$work/ours"
java -XX:TieredStopAtLevel=1 "$src/Dump.java" "$work/files" >"$work/java"
if ! cmp -s "$work/ours" "$work/java"; then
    echo "ours (-) and Java's (+) differ; SEED=$seed repeats it"
    diff -u "$work/ours" "$work/java" | head -40
    exit 1
fi
echo "the same: $(grep -c "^[0-9a-f]* [0-9a-f]*\$" "$work/ours") properties, $(grep -c '^malformed' "$work/ours") malformed files"
