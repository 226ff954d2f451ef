#!/bin/sh
# The structure of the source: layers, single owners, public headers, exported symbols, the README's example.
# Prints TAP. The environment may name another tree (srcdir) and the build's library (LIBODEZK).
set -u
src=${srcdir:-$(cd "$(dirname "$0")/.." && pwd -P)}
lib=${LIBODEZK:-.libs/libodezk.so}
cd_build=$(pwd -P)
n=0
bad=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Reads what is wrong from standard input: nothing is good.
report() {
    n=$((n + 1))
    if [ -s "$tmp/found" ]; then
        echo "not ok $n - $1"
        sed 's/^/# /' "$tmp/found"
        bad=1
    else
        echo "ok $n - $1"
    fi
}

skip() {
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}

cd "$src" || exit 1

# From the bottom up. The command line and the helper's programs stand beside the layers: they have rules of their own.
layers='base config session znode reaper recipe cluster'
below=
for layer in $layers; do
    below="$below $layer"
    for file in src/"$layer"/*.[ch]; do
        sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file" | while read -r header; do
            case " $below " in
            *" ${header%%/*} "*) ;;
            *) echo "$file includes $header, which is not below it" ;;
            esac
        done
    done
done >"$tmp/found"
report 'no layer includes one above it'

# grant, lock and every lock_… are one recipe; process tells what a member znode speaks of.
for file in src/recipe/*.[ch]; do
    own=$(basename "$file" | sed 's/\..*//; s/^grant$/lock/; s/^lock_.*/lock/')
    sed -n 's/^#include "recipe\/\([^"]*\)\.h".*/\1/p' "$file" | while read -r other; do
        case $(echo "$other" | sed 's/^grant$/lock/; s/^lock_.*/lock/') in
        "$own" | process) ;;
        *) echo "$file includes recipe/$other.h" ;;
        esac
    done
done >"$tmp/found"
report 'no recipe knows another'

for file in src/cli/*.[ch] examples/*.c examples/*/*.[ch]; do
    sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file" | while read -r header; do
        [ -f "$(dirname "$file")/$header" ] || echo "$file includes $header"
    done
    grep -Hn -E '#include <(zookeeper|libxml|log4c)' "$file"
done >"$tmp/found"
report 'the command line and the examples use public headers only'

for owned in 'zookeeper/ src/session/zkport.c' 'libxml/ src/config/xml.c' 'log4c src/base/log4c.c'; do
    header=${owned%% *} owner=${owned#* }
    grep -rl "#include <$header" src include | grep -v "^$owner\$" | sed "s|\$| includes <$header…>, which is $owner's|"
    [ -f "$owner" ] && grep -q "#include <$header" "$owner" || echo "$owner does not include <$header…>"
done >"$tmp/found"
report 'zookeeper.h, libxml2 and log4c have one owner each'

for header in include/odezk/*.h; do
    name=odezk/$(basename "$header")
    grep -n '#include' "$header" | grep -v -E '<(odezk/[a-z]+|std[a-z]+|inttypes)\.h>' | sed "s|^|$header: |"
    printf '#include <%s>\nint main(void) { return 0; }\n' "$name" >"$tmp/alone.c"
    cp "$tmp/alone.c" "$tmp/alone.cc"
    ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$tmp/alone.c" 2>&1
    ${CXX:-c++} -std=c++11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$tmp/alone.cc" 2>&1
done >"$tmp/found"
report 'each public header compiles alone, as C and as C++'

# The functions that the headers declare, comments taken out.
cat include/odezk/*.h | ${CC:-cc} -fpreprocessed -dD -E -P -x c - 2>/dev/null | grep -v '^#' | tr '\n' ' ' |
    grep -o -E '\bodezk_[a-z0-9_]+ ?\(' | tr -d ' (' | sort -u >"$tmp/named"
grep -h -o -E 'typedef [^;]*\(\*odezk_[a-z0-9_]+\)' include/odezk/*.h | grep -o -E 'odezk_[a-z0-9_]+' | sort -u >"$tmp/types"
comm -23 "$tmp/named" "$tmp/types" >"$tmp/declared"
if [ -f "$cd_build/$lib" ]; then
    nm -D --defined-only "$cd_build/$lib" | awk '$2 ~ /[TDBRV]/ {print $3}' | sed 's/@.*//' | sort -u >"$tmp/exported"
    {
        comm -23 "$tmp/declared" "$tmp/exported" | sed 's/$/ is declared, but not exported/'
        comm -13 "$tmp/declared" "$tmp/exported" | sed 's/$/ is exported, but not declared/'
    } >"$tmp/found"
    report 'libodezk exports what its headers declare, and nothing else'
else
    skip 'libodezk exports what its headers declare, and nothing else' "there is no $lib"
fi

# Each function of a public header has a comment of its own that says since when it exists.
awk '/\/\*\*/ { since = 0 } /Since [0-9]/ { since = 1 } /^[a-z].*[ *]odezk_[a-z0-9_]+\(/ && !/typedef/ {
    if (!since) print FILENAME ": " $0; since = 0 }' include/odezk/*.h >"$tmp/found"
report 'each public function is documented in its header'

# libodezk.3 lists them all.
while read -r name; do
    grep -q -E "^\.It Fn $name( |\$)" doc/man/libodezk.3 || echo "$name is not in doc/man/libodezk.3"
done <"$tmp/declared" >"$tmp/found"
report 'each public function is in libodezk.3'

version=$(sed -n 's/^AC_INIT(\[odezk\], \[\([^]]*\)\].*/\1/p' configure.ac)
{
    [ -n "$version" ] || echo "configure.ac names no version"
    grep -q "^#define ODEZK_VERSION \"$version\"\$" include/odezk/version.h ||
        echo "configure.ac says $version, include/odezk/version.h something else"
} >"$tmp/found"
report 'configure.ac and version.h agree on the version'

# Another version of it may lay the same code out otherwise.
if [ ! -f .clang-format ]; then
    skip 'the code is laid out as .clang-format says' 'there is no .clang-format'
elif clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    find src include it tests bench examples -name '*.[ch]' -exec clang-format --dry-run {} + >"$tmp/found" 2>&1
    report 'the code is laid out as .clang-format says'
else
    skip 'the code is laid out as .clang-format says' 'there is no clang-format 14'
fi

for mutant in it/faults/mutants/*.patch; do
    patch --dry-run --quiet -p1 --fuzz=0 -i "$mutant" >/dev/null 2>&1 || echo "$mutant does not apply any more"
done >"$tmp/found"
report 'the mutants of it/faults fit the code'

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md | diff - examples/readme.c >"$tmp/found" 2>&1
report "the README's example is the one that is compiled"

sed -n '/^\.Bd -literal$/,/^\.Ed$/p' doc/man/libodezk.3 | sed '1d;$d; s/\\e/\\/g' | diff - examples/readme.c >"$tmp/found" 2>&1
report 'so is the one of libodezk.3'

echo "1..$n"
exit $bad
