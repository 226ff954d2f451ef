/* One lock: its znode, its queue, and the entries that three processes have of it. README.md says what is left out.
 *
 * Each process wants the lock WANTS times. At any moment a reply may get lost, with its request done, not done or done
 * later; a waiter may give up; a lease may lapse and come back; a session may end once the lease has lapsed;
 * FAULTS times in all.
 *
 * Proven: at most one valid holder; fencing tokens never decrease; when the faults have stopped everybody has had the
 * lock, and neither lock nor seats are left.
 *
 * Each of these must be found wrong:
 *   -DBLIND_UNLOCK    a delete whose reply was lost is simply repeated
 *   -DNO_SYNC         what became of a lost request is looked up before that is decided
 *   -DNO_WATCH        the first in the queue finds the lock taken, and does not watch it
 *   -DLEAVE_UNCERTAIN a waiter may give up before it is known whether its take was done
 *   -DNO_LEASE        a grant is believed without looking at the lease
 *   -DDELETE_FIRST    who releases deletes the lock, and ends the grant after that */

#define N 3
#ifndef WANTS
#define WANTS 1
#endif
#ifndef FAULTS
#define FAULTS 3
#endif
#define SEATS (N * WANTS + FAULTS)
#define NOBODY 255

/* The servers: who owns the lock's znode, how many there have been, and who owns which seat. */
byte lock = NOBODY;
byte zxid;
byte owner[SEATS] = NOBODY;
byte next_seat;
bool session[N] = true;

/* The processes; the states are those of lock.c, with QUEUED taken apart. */
#define FREE 0
#define CREATING 1
#define CHECK_CREATE 2
#define QUEUEING 3 /* asks for a seat */
#define READING 4  /* lists the queue */
#define BEHIND 5   /* watches the seat before its own */
#define LOOKING 6  /* first in the queue: reads the lock */
#define FIRST 7    /* watches the lock */
#define TAKING 8   /* the lock for the seat */
#define CHECK_TAKEN 9 /* the lock was there: whose is it? */
#define HELD 10
#define DELETING 11
#define CHECK_DELETE 12
byte state[N];
byte wants[N] = WANTS;
bool contended[N];
byte seat[N] = NOBODY;
byte seen[N];  /* what is watched: the seat before, or the lock by its zxid */
byte czxid[N]; /* of the lock when it is ours */
bool grant[N];
bool lease[N] = true;
byte late[N]; /* a request on a broken connection, which the servers may still do: the state that sent it */
bool dying[SEATS]; /* a seat that was given up, and is being deleted until that is certain */
byte deletes[N];   /* how many of them a process has */

byte faults = FAULTS;
byte token; /* of the latest grant */

#ifdef NO_LEASE
#define VALID(i) (grant[i])
#else
#define VALID(i) (grant[i] && lease[i])
#endif

inline only_one()
{
    assert(!(VALID(0) && VALID(1)));
    assert(!(VALID(0) && VALID(2)));
    assert(!(VALID(1) && VALID(2)))
}

/* What the servers do with a request. */
inline do_create(me)
{
    if
    :: lock == NOBODY -> zxid++; lock = me
    :: else
    fi
}

inline do_delete()
{
    lock = NOBODY
}

inline do_take(me)
{
    if
    :: lock == NOBODY && owner[seat[me]] == me -> zxid++; lock = me; owner[seat[me]] = NOBODY
    :: else
    fi
}

inline decide(me)
{
#ifndef NO_SYNC
    late[me] = 0
#else
    skip
#endif
}

inline hold(me)
{
    czxid[me] = zxid;
    seen[me] = 0;
    contended[me] = false;
    state[me] = HELD
}

inline set_free(me)
{
    czxid[me] = 0;
    seen[me] = 0;
    state[me] = FREE
}

inline leave_seat(me)
{
    if
    :: owner[seat[me]] == me -> dying[seat[me]] = true; deletes[me]++
    :: else
    fi;
    seat[me] = NOBODY
}

inline find_before(me)
{
    k = seat[me];
    seen[me] = NOBODY;
    do
    :: k == 0 -> break
    :: k > 0 && owner[k - 1] != NOBODY -> seen[me] = k - 1; break
    :: k > 0 && owner[k - 1] == NOBODY -> k--
    od;
    k = 0
}

inline end_session(me)
{
    session[me] = false;
    if
    :: lock == me -> lock = NOBODY
    :: else
    fi;
    do
    :: k == next_seat -> break
    :: k < next_seat && owner[k] == me -> owner[k] = NOBODY; dying[k] = false; k++
    :: k < next_seat && owner[k] != me -> k++
    od;
    k = 0;
    deletes[me] = 0;
    late[me] = 0
}

inline delete_seat(me)
{
    do
    :: owner[k] == me && dying[k] -> break
    :: else -> k++
    od;
    owner[k] = NOBODY;
    dying[k] = false;
    deletes[me]--;
    k = 0
}

proctype process(byte i)
{
    byte k;

    do
    :: atomic {
        state[i] == FREE && session[i] && wants[i] > 0 && lease[i] ->
        state[i] = (contended[i] -> QUEUEING : CREATING)
    }

    /* The fast way. */
    :: atomic { state[i] == CREATING && session[i] && lock == NOBODY -> do_create(i); hold(i) }
    :: atomic { state[i] == CREATING && session[i] && lock != NOBODY -> contended[i] = true; set_free(i) }
    :: atomic { state[i] == CREATING && session[i] && faults > 0 -> faults--; do_create(i); state[i] = CHECK_CREATE }
    :: atomic { state[i] == CREATING && session[i] && faults > 0 -> faults--; late[i] = CREATING; state[i] = CHECK_CREATE }
    :: atomic {
        state[i] == CHECK_CREATE && session[i] ->
        decide(i);
        if
        :: lock == i -> hold(i)
        :: lock != i && lock != NOBODY -> contended[i] = true; set_free(i)
        :: lock == NOBODY -> set_free(i)
        fi
    }

    /* The fair way. A seat is found again after a lost reply, as in election.pml. */
    :: atomic {
        state[i] == QUEUEING && session[i] ->
        assert(next_seat < SEATS);
        owner[next_seat] = i;
        seat[i] = next_seat;
        next_seat++;
        state[i] = READING
    }
    :: atomic {
        state[i] == READING && session[i] ->
        find_before(i);
        if
        :: seen[i] == NOBODY -> seen[i] = 0; state[i] = LOOKING
        :: else -> state[i] = BEHIND
        fi
    }
    :: atomic { state[i] == BEHIND && session[i] && owner[seen[i]] == NOBODY -> seen[i] = 0; state[i] = READING }
    :: atomic {
        state[i] == LOOKING && session[i] ->
        if
        :: lock == NOBODY -> state[i] = TAKING
        :: lock == i -> leave_seat(i); hold(i)
        :: lock != i && lock != NOBODY -> seen[i] = zxid; state[i] = FIRST
        fi
    }
#ifndef NO_WATCH
    :: atomic {
        state[i] == FIRST && session[i] && (lock == NOBODY || zxid != seen[i]) ->
        seen[i] = 0;
        state[i] = LOOKING
    }
#endif
    /* Create the lock and delete the seat, in one. It may be repeated: a second time it fails as a whole. */
    :: atomic {
        state[i] == TAKING && session[i] ->
        late[i] = 0;
        if
        :: lock == NOBODY && owner[seat[i]] == i -> do_take(i); seat[i] = NOBODY; hold(i)
        :: lock == NOBODY && owner[seat[i]] != i -> seat[i] = NOBODY; set_free(i)
#ifdef LEAVE_UNCERTAIN
        :: lock != NOBODY -> state[i] = LOOKING
#else
        :: lock != NOBODY -> state[i] = CHECK_TAKEN
#endif
        fi
    }
    /* It may be ours, if an earlier reply was lost: until that is known nobody may leave. */
    :: atomic {
        state[i] == CHECK_TAKEN && session[i] ->
        if
        :: lock == i -> seat[i] = NOBODY; hold(i)
        :: lock != i -> state[i] = READING
        fi
    }
    :: atomic { state[i] == TAKING && session[i] && faults > 0 -> faults--; do_take(i) }
    :: atomic { state[i] == TAKING && session[i] && faults > 0 -> faults--; late[i] = TAKING }

    /* Held. Another attempt of the same process may be next, or the queue. */
    :: atomic {
        state[i] == HELD && session[i] && wants[i] > 0 && lease[i] && !grant[i] ->
        assert(czxid[i] >= token);
        token = czxid[i];
        grant[i] = true;
        only_one()
    }
    :: atomic { state[i] == HELD && session[i] && wants[i] == 0 && !grant[i] -> state[i] = DELETING }
    :: atomic {
        state[i] == HELD && session[i] && grant[i] -> /* released: the next attempt gets the grant, or the queue its turn */
        wants[i]--;
#ifdef DELETE_FIRST
        state[i] = DELETING
#else
        grant[i] = false;
        if
        :: true
        :: true -> contended[i] = true; state[i] = DELETING
        fi
#endif
    }
    :: atomic { state[i] == DELETING && session[i] -> do_delete(); set_free(i) }
#ifdef BLIND_UNLOCK
    :: atomic { state[i] == DELETING && session[i] && faults > 0 -> faults--; do_delete() }
    :: atomic { state[i] == DELETING && session[i] && faults > 0 -> faults--; late[i] = DELETING }
#else
    :: atomic { state[i] == DELETING && session[i] && faults > 0 -> faults--; do_delete(); state[i] = CHECK_DELETE }
    :: atomic { state[i] == DELETING && session[i] && faults > 0 -> faults--; late[i] = DELETING; state[i] = CHECK_DELETE }
#endif
    :: atomic {
        state[i] == CHECK_DELETE && session[i] ->
        decide(i);
        if
        :: lock != NOBODY && zxid == czxid[i] -> state[i] = DELETING
        :: else -> set_free(i)
        fi
    }
#ifdef DELETE_FIRST
    :: atomic { state[i] == FREE && grant[i] -> grant[i] = false }
#endif

    /* A waiter gives up. */
    :: atomic { wants[i] > 0 && !grant[i] && faults > 0 -> faults--; wants[i]-- }
    :: atomic {
        wants[i] == 0 && session[i] && state[i] >= READING && state[i] <= FIRST ->
        leave_seat(i);
        set_free(i)
    }

    /* The lease lapses, and comes back with an acknowledged write; the session ends, and the process hears of it. */
    :: atomic { lease[i] && faults > 0 -> faults--; lease[i] = false }
    :: atomic {
        !lease[i] && grant[i] && session[i] ->
        grant[i] = false;
        wants[i]--;
        if
        :: state[i] == HELD -> state[i] = DELETING
        :: else
        fi
    }
    :: atomic { !lease[i] && !grant[i] && session[i] -> lease[i] = true; only_one() }
    :: atomic { !lease[i] && session[i] && faults > 0 -> faults--; end_session(i) }
    :: atomic {
        !session[i] ->
        if
        :: grant[i] -> grant[i] = false; wants[i]--
        :: else
        fi;
        contended[i] = false;
        seat[i] = NOBODY;
        set_free(i);
        session[i] = true;
        lease[i] = true;
        only_one()
    }

    /* What the servers still do. */
    :: atomic { late[i] == CREATING -> late[i] = 0; do_create(i) }
    :: atomic { late[i] == DELETING -> late[i] = 0; do_delete() }
    :: atomic { late[i] == TAKING -> late[i] = 0; do_take(i) }
    :: atomic { deletes[i] > 0 && session[i] -> delete_seat(i) }
    od
}

init
{
    byte k;

    atomic { run process(0); run process(1); run process(2) }
    /* Nothing is left to do: everybody must have had the lock, and nothing be left. */
    atomic {
        timeout ->
        assert(wants[0] + wants[1] + wants[2] == 0);
        assert(lock == NOBODY);
        do
        :: k < SEATS -> assert(owner[k] == NOBODY); k++
        :: k == SEATS -> break
        od
    }
}
