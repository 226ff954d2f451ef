/* The election: candidates with seats, sessions with leases. README.md says what is left out.
 *
 * Any candidate may at any moment lose a reply, lose its lease and get it back, lose its session once the lease has
 * lapsed (lease.pml shows that it is not lost before), or resign; FAULTS times in all.
 *
 * Proven: at most one candidate claims to be master; epochs only grow; when the faults have stopped somebody claims,
 * and each live candidate has exactly one seat.
 *
 * Each of these must be found wrong:
 *   -DBLIND_CREATE     a create whose reply was lost is simply repeated
 *   -DSYNC_DECIDES     what became of a lost create is looked up behind a sync, which leaves that open
 *   -DNO_LEASE         a claim is believed without looking at the lease
 *   -DKEEP_HELD        a claim survives into the next session, with its new lease
 *   -DDELETE_FIRST     who resigns deletes its seat, and stops claiming after that
 *   -DWATCH_NOTHING    a candidate looks at its predecessor without a watch, and never again */

#ifndef N
#define N 3
#endif
#ifndef FAULTS
#define FAULTS 4
#endif
#define SEATS (N + FAULTS) /* sequence numbers that can be given out */
#define NOBODY 255

/* The servers: who owns the seat of each sequence number. */
byte owner[SEATS] = NOBODY;
bool dying[SEATS]; /* given up, and deleted again and again until that is certain */
byte next_seat;
bool session[N] = true;

/* The candidates. */
#define NONE 0      /* no seat */
#define CREATING 1  /* asked for one */
#define SEARCHING 2 /* the reply was lost */
#define LOOKING 3   /* has a seat, is going to list the others */
#define WAITING 4   /* watches the one before */
#define PUBLISHING 5
#define MASTER 6
byte state[N];
byte seat[N] = NOBODY;
byte before[N]; /* the seat that is watched */
bool lease[N] = true;
bool held[N]; /* what is_master looks at, together with the lease */
byte deletes[N]; /* seats that are dying */
bool late[N]; /* a create on a broken connection, which the servers may still do */

byte faults = FAULTS;
byte epoch; /* of the latest claim, plus 1 */

#ifdef NO_LEASE
#define CLAIMS(i) (held[i])
#else
#define CLAIMS(i) (held[i] && lease[i])
#endif

inline only_one()
{
    assert(!(CLAIMS(0) && CLAIMS(1)));
    assert(!(CLAIMS(0) && CLAIMS(2)));
    assert(!(CLAIMS(1) && CLAIMS(2)))
}

inline make_seat(me)
{
    assert(next_seat < SEATS);
    owner[next_seat] = me;
    next_seat++
}

/* The newest seat before `mine` that exists; NOBODY when there is none. */
inline find_before(mine, found)
{
    k = mine;
    found = NOBODY;
    do
    :: k == 0 -> break
    :: k > 0 && owner[k - 1] != NOBODY -> found = k - 1; break
    :: k > 0 && owner[k - 1] == NOBODY -> k--
    od;
    k = 0
}

inline find_own(me, found)
{
    found = NOBODY;
    do
    :: k == next_seat -> break
    :: k < next_seat && owner[k] == me && !dying[k] -> found = k; break
    :: k < next_seat && (owner[k] != me || dying[k]) -> k++
    od;
    k = 0
}

inline give_up_seat(me)
{
    dying[seat[me]] = true;
    seat[me] = NOBODY;
    state[me] = NONE
}

inline delete_seat(me)
{
    do
    :: k < next_seat && owner[k] == me && dying[k] -> owner[k] = NOBODY; dying[k] = false; break
    :: k < next_seat && !(owner[k] == me && dying[k]) -> k++
    od;
    k = 0
}

inline remove_seats(me)
{
    do
    :: k == next_seat -> break
    :: k < next_seat && owner[k] == me -> owner[k] = NOBODY; dying[k] = false; k++
    :: k < next_seat && owner[k] != me -> k++
    od;
    k = 0
}

proctype candidate(byte i)
{
    byte k;

    do
    :: atomic { state[i] == NONE && session[i] -> state[i] = CREATING }
    /* The create is done and answered; done, and the answer lost; or lost on the way, perhaps to arrive later. */
    :: atomic { state[i] == CREATING && session[i] -> seat[i] = next_seat; make_seat(i); state[i] = LOOKING }
    :: atomic { state[i] == CREATING && session[i] && faults > 0 -> faults--; make_seat(i); state[i] = SEARCHING }
    :: atomic { state[i] == CREATING && session[i] && faults > 0 -> faults--; late[i] = true; state[i] = SEARCHING }
#ifdef BLIND_CREATE
    :: atomic { state[i] == SEARCHING && session[i] -> state[i] = CREATING }
#else
    /* A write of ours is answered, which decides what becomes of the create; then a list tells. */
    :: atomic {
        state[i] == SEARCHING && session[i] ->
#ifndef SYNC_DECIDES
        late[i] = false;
#endif
        find_own(i, seat[i]);
        state[i] = (seat[i] == NOBODY -> CREATING : LOOKING)
    }
#endif
    :: atomic {
        state[i] == LOOKING && session[i] ->
        find_before(seat[i], before[i]);
        state[i] = (before[i] == NOBODY -> PUBLISHING : WAITING)
    }
#ifndef WATCH_NOTHING
    /* The watch is set by the read that finds the seat, and fires when it goes. */
    :: atomic { state[i] == WAITING && session[i] && owner[before[i]] == NOBODY -> before[i] = 0; state[i] = LOOKING }
#endif
    /* `leader` is written only together with a check of the seat; a claim begins only under a lease. */
    :: atomic {
        state[i] == PUBLISHING && session[i] && lease[i] && owner[seat[i]] == i ->
        assert(seat[i] + 1 > epoch);
        epoch = seat[i] + 1;
        held[i] = true;
        state[i] = MASTER;
        only_one()
    }
    :: atomic {
        state[i] == MASTER && session[i] && faults > 0 -> /* resigns */
        faults--;
#ifndef DELETE_FIRST
        held[i] = false;
#endif
        give_up_seat(i);
        deletes[i]++
    }
    :: atomic { deletes[i] > 0 && session[i] -> deletes[i]--; delete_seat(i) }
#ifdef DELETE_FIRST
    :: atomic { state[i] == NONE && held[i] -> held[i] = false }
#endif
    /* The lease lapses: a claim ends before anything else is done, its seat is given up. */
    :: atomic { lease[i] && faults > 0 -> faults--; lease[i] = false }
    :: atomic {
        !lease[i] && session[i] && state[i] == MASTER ->
        held[i] = false;
        give_up_seat(i);
        deletes[i]++
    }
    /* Only an acknowledged write brings it back, and that shows that the session lives. */
    :: atomic { !lease[i] && session[i] && state[i] != MASTER -> lease[i] = true; only_one() }
    /* The candidate hears that its session is over, and has a new one. */
    :: atomic {
        !session[i] ->
#ifndef KEEP_HELD
        held[i] = false;
#endif
        late[i] = false;
        deletes[i] = 0;
        seat[i] = NOBODY;
        before[i] = 0;
        state[i] = NONE;
        session[i] = true;
        lease[i] = true;
        only_one()
    }
    /* What the servers do. */
    :: atomic { late[i] && session[i] -> late[i] = false; make_seat(i) }
    :: atomic { !lease[i] && session[i] && faults > 0 -> faults--; session[i] = false; remove_seats(i) }
    od
}

init
{
    byte k, seats, claims;

    atomic { run candidate(0); run candidate(1); run candidate(2) }
    /* Nothing is left to do: now somebody must be master, and everybody have its one seat. */
    atomic {
        timeout ->
        claims = held[0] + held[1] + held[2];
        do
        :: k < next_seat -> seats = seats + (owner[k] != NOBODY); k++
        :: k == next_seat -> break
        od;
        assert(claims == 1);
        assert(seats == N)
    }
}
