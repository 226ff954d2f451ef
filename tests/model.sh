#!/bin/sh
# Has spin search the models of doc/model for violations: the rules as they are must have none, and each of the wrong
# rules must be found out. Prints TAP. With --long larger bounds are searched as well, which takes minutes.

models=$(cd "$(dirname "$0")/../doc/model" && pwd) || exit 1
number=0
failed=0

result() # OK NAME
{
    number=$((number + 1))
    [ "$1" = ok ] || failed=$((failed + 1))
    echo "$1 $number - $2"
}

if ! command -v spin >/dev/null || ! command -v gcc >/dev/null; then
    echo "1..1"
    echo "ok 1 - models # SKIP spin is not installed"
    exit 0
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1

# Everything a search says goes to `log`.
search() # MODEL OPTIONS COMPILER PAN
{
    rm -f pan* log
    {
        spin $2 -a "$models/$1.pml" && gcc -w -DMEMLIM=1500 $3 -o pan pan.c && ./pan -E -m200000 $4
    } >log 2>&1
}

complete()
{
    ! grep -q -e 'max search depth too small' -e 'out of memory' -e 'Search not completed' log
}

holds() # NAME MODEL OPTIONS [COMPILER PAN]
{
    if search "$2" "$3" "-Og ${4:--DSAFETY}" "-w22 $5" && grep -q 'errors: 0' log && complete; then
        result ok "$1"
    else
        result 'not ok' "$1"
        sed 's/^/# /' log
    fi
}

fails() # NAME MODEL OPTIONS
{
    if search "$2" "$3" -DSAFETY -w18 && grep -q '^pan:.*assertion violated' log; then
        result ok "$1 is found out"
    else
        result 'not ok' "$1 is not found out"
        sed 's/^/# /' log
    fi
}

holds "lease: the session outlives it" lease
holds "lease: the session outlives it, other times" lease "-DT=6 -DH=3"
fails "lease: the last write counts" lease -DOBVIOUS
fails "lease: two requests are enough" lease -DTWO_STEP
fails "lease: no wait for a ping" lease -DNO_LAG
fails "lease: a sync may be the last" lease -DSYNC_IS_PROOF
fails "lease: a sync counts on reconnecting" lease -DSYNC_RESUMES
fails "lease: a shorter timeout does not shorten it" lease -DKEEP_TIMEOUT

holds "election: at most one claims, and one in the end" election
holds "election: nothing goes on for ever" election -DFAULTS=3 -DNP -l
fails "election: creates are repeated blindly" election -DBLIND_CREATE
fails "election: a look behind a sync" election -DSYNC_DECIDES
fails "election: a claim without the lease" election -DNO_LEASE
fails "election: a claim outlives its session" election -DKEEP_HELD
fails "election: the seat is deleted before the claim ends" election -DDELETE_FIRST
fails "election: nobody watches" election -DWATCH_NOTHING

holds "lock: at most one holder, and nothing is left" lock
holds "lock: the same with more faults" lock "-DWANTS_0=1 -DFAULTS=3"
holds "lock: a lock that nobody knows of is found" lock "-DOVERLOOKED -DWANTS_0=1"
holds "lock: nothing goes on for ever" lock -DWANTS_0=1 -DNP -l
fails "lock: deletes are repeated blindly" lock -DBLIND_UNLOCK
fails "lock: what exists behind a delete is another's" lock -DBLIND_EXISTS
fails "lock: a look behind a sync" lock -DSYNC_DECIDES
fails "lock: the first does not watch the lock" lock -DNO_WATCH
fails "lock: nobody asks the holder" lock -DNO_ASK
fails "lock: leaving before it is certain" lock -DLEAVE_UNCERTAIN
fails "lock: a grant without the lease" lock -DNO_LEASE
fails "lock: the lock is deleted before the grant ends" lock -DDELETE_FIRST
fails "lock: who waits does not look whose the lock is" lock "-DOVERLOOKED -DNO_DOUBT -DWANTS_0=1"

holds "sticky: at most one holder, and nobody is forgotten" sticky -DWANTS_0=1
holds "sticky: the same more often with fewer faults" sticky -DFAULTS=1
holds "sticky: the same with a client" sticky -DCLIENT=0
holds "sticky: nothing goes on for ever" sticky "-DWANTS_0=1 -DFAULTS=1" -DNP -l
fails "sticky: holders are asked only once" sticky -DNO_REASK
fails "sticky: given up while in use" sticky -DGIVE_UP_BUSY
fails "sticky: kept without an inbox" sticky -DKEEP_UNREACHABLE
fails "sticky: kept over the end of the session" sticky -DKEEP_OVER
fails "sticky: given up without having it" sticky -DGIVE_UP_BLIND
fails "sticky: who gives up stays in the queue" sticky -DSTAY_SEATED
fails "sticky: a request that is not answered in time is taken back" sticky -DTAKE_BACK
fails "sticky: requests stay in the inbox" sticky -DNO_ERASE
fails "sticky: a grant without the lease" sticky -DNO_LEASE

if [ "${1:-}" = --long ]; then
    holds "election, at length" election -DFAULTS=5
    holds "lock, at length: three faults" lock -DFAULTS=3
    holds "lock, at length: four faults" lock "-DWANTS_0=1 -DFAULTS=4"
    holds "lock, at length: a lock that nobody knows of" lock "-DOVERLOOKED -DFAULTS=3"
    holds "lock, at length: nothing goes on for ever" lock -DFAULTS=2 -DNP -l
    holds "sticky, at length: more often" sticky
    holds "sticky, at length: more faults" sticky "-DWANTS_0=1 -DFAULTS=3"
    holds "sticky, at length: a client among others" sticky -DCLIENT=2
    holds "sticky, at length: nothing goes on for ever" sticky -DWANTS_0=1 -DNP -l
fi

echo "1..$number"
[ "$failed" -eq 0 ]
