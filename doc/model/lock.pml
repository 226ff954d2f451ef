/* One lock: its znode, its queue, and what three processes have of it. README.md says what is left out.
 *
 * The processes want the lock WANTS_0, WANTS_1 and WANTS_2 times, sooner or later. At any moment a reply may get lost,
 * with its request done, not done or done later; a waiter may give up; a lease may lapse and come back; a session may
 * end once the lease has lapsed; FAULTS times in all.
 *
 * Proven: at most one valid holder; fencing tokens never decrease; when the faults have stopped everybody has had the
 * lock, no seat is left, and no lock but one that its owner knows of and keeps.
 *
 * With -DOVERLOOKED the look behind a lost create may miss what that has made, however that may come. Proven then: a
 * lock that its owner knows nothing of may stay, but not when another wants it.
 *
 * Each of these must be found wrong:
 *   -DBLIND_UNLOCK     a delete whose reply was lost is simply repeated
 *   -DBLIND_EXISTS     a create behind a delete finds the lock taken, and that is believed to be another's
 *   -DSYNC_DECIDES     what became of a lost request is looked up behind a sync, which leaves that open
 *   -DNO_WATCH         the first in the queue finds the lock taken, and does not watch it
 *   -DNO_ASK           the first in the queue does not ask the holder, which keeps the lock in store
 *   -DLEAVE_UNCERTAIN  a waiter may give up before it is known whether the lock that it found is its own
 *   -DNO_LEASE         a grant is believed without looking at the lease
 *   -DDELETE_FIRST     who releases deletes the lock, and ends the grant after that
 *   -DNO_DOUBT         with -DOVERLOOKED: who is asked for a lock while it waits for it does not look whose it is */

#define N 3
#ifndef WANTS_0
#define WANTS_0 2
#endif
#ifndef WANTS_1
#define WANTS_1 1
#endif
#ifndef WANTS_2
#define WANTS_2 1
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#define SEATS (WANTS_0 + WANTS_1 + WANTS_2 + FAULTS)
#define NOBODY 255

/* The servers: who owns the lock's znode, how many there have been, and who owns which seat. */
byte lock = NOBODY;
byte zxid;
byte owner[SEATS] = NOBODY;
byte next_seat;
bool session[N] = true;
bool inbox[N]; /* others want the lock */

/* The processes; the states are those of lock_entry.h, with QUEUED and DELETING taken apart. */
#define FREE 0
#define CREATING 1
#define CHECK_CREATE 2
#define QUEUEING 3 /* asks for a seat */
#define READING 4  /* lists the queue */
#define BEHIND 5   /* watches the seat before its own */
#define LOOKING 6  /* first in the queue: reads the lock */
#define FIRST 7    /* watches the lock */
#define TAKING 8   /* the lock for the seat */
#define CHECK_TAKEN 9
#define HELD 10
#define DELETING 11
#define CHECK_DELETE 12
byte state[N];
byte attempts[N]; /* that are still to come */
byte wants[N];    /* that wait, or have the grant */
bool contended[N];   /* another has it: to the queue */
bool queue_first[N]; /* we had our turn: to the queue */
bool wanted[N];      /* others wait for what we hold */
byte seat[N] = NOBODY;
byte seen[N];  /* what is watched: the seat before, or the lock by its zxid */
byte czxid[N]; /* of the lock when it is ours */
bool grant[N];
bool had[N];   /* granted since it is held: the next turn may be others' */
bool lease[N] = true;
bool ahead[N]; /* CREATING: the delete that was sent before it is not done yet */
bool unsure[N]; /* CREATING: nor is it known whether it will be */
bool ask[N];   /* FIRST: a request to the holder is on its way */
bool late_delete[N]; /* requests on a broken connection, which the servers may still do, in this order */
byte late[N];        /* CREATING or TAKING */
bool dying[SEATS]; /* a seat that was given up, and is being deleted until that is certain */
byte deletes[N];   /* how many of them a process has */

#ifdef OVERLOOKED
bool forgotten[N]; /* owns a lock and does not know */
#endif
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
    :: lock == NOBODY && seat[me] != NOBODY && owner[seat[me]] == me ->
        zxid++;
        lock = me;
        owner[seat[me]] = NOBODY
    :: else
    fi
}

/* A write of ours is answered: what the servers have not done by now they will never do. */
inline decide(me)
{
#ifndef SYNC_DECIDES
    late_delete[me] = false;
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
    queue_first[me] = false;
    unsure[me] = false;
    state[me] = HELD
}

inline set_free(me)
{
    contended[me] = contended[me] && wants[me] > 0; /* what is known is kept as long as somebody waits */
    czxid[me] = 0;
    seen[me] = 0;
    wanted[me] = false;
    unsure[me] = false;
    ask[me] = false;
    state[me] = FREE
}

inline give_back(me)
{
    queue_first[me] = wanted[me] || wants[me] > 0;
    had[me] = false;
    state[me] = DELETING
}

inline leave_seat(me)
{
    if
    :: seat[me] != NOBODY && owner[seat[me]] == me -> dying[seat[me]] = true; deletes[me]++
    :: else
    fi;
    seat[me] = NOBODY
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
    inbox[me] = false;
    late_delete[me] = false;
    late[me] = 0;
    ahead[me] = false
}

proctype process(byte i)
{
    byte k;

    do
    :: atomic { attempts[i] > 0 -> attempts[i]--; wants[i]++ }
    :: atomic {
        state[i] == FREE && session[i] && wants[i] > 0 && lease[i] ->
        if
        :: contended[i] || queue_first[i] -> state[i] = QUEUEING
        :: !contended[i] -> queue_first[i] = false; state[i] = CREATING /* whoever waited had the time to be first */
        fi
    }

    /* The fast way. */
    :: atomic { ahead[i] -> ahead[i] = false; do_delete() }
    :: atomic { state[i] == CREATING && session[i] && !ahead[i] && lock == NOBODY -> do_create(i); hold(i) }
    /* Behind a delete it may be our own old one: only a look behind a write decides. */
    :: atomic {
        state[i] == CREATING && session[i] && !ahead[i] && lock != NOBODY ->
        if
#ifndef BLIND_EXISTS
        :: unsure[i] -> state[i] = CHECK_CREATE
        :: !unsure[i] -> contended[i] = true; set_free(i)
#else
        :: contended[i] = true; set_free(i)
#endif
        fi
    }
    :: atomic {
        state[i] == CREATING && session[i] && !ahead[i] && faults > 0 ->
        faults--;
        do_create(i);
        state[i] = CHECK_CREATE
    }
    :: atomic {
        state[i] == CREATING && session[i] && faults > 0 ->
        faults--;
        late_delete[i] = late_delete[i] || ahead[i];
        ahead[i] = false;
        late[i] = CREATING;
        state[i] = CHECK_CREATE
    }
    :: atomic {
        state[i] == CHECK_CREATE && session[i] ->
        decide(i);
        if
        :: lock == i -> hold(i)
        :: lock != i && lock != NOBODY -> contended[i] = true; set_free(i)
        :: lock == NOBODY -> set_free(i)
        fi
    }
#ifdef OVERLOOKED
    :: atomic {
        state[i] == CHECK_CREATE && session[i] && lock == i && faults > 0 ->
        faults--;
        decide(i);
        forgotten[i] = true;
        set_free(i)
    }
#endif

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
    /* The lock is read and watched at once, and its holder asked for it. */
    :: atomic {
        state[i] == LOOKING && session[i] ->
        if
        :: lock == NOBODY -> state[i] = TAKING
        :: lock == i -> leave_seat(i); hold(i)
        :: lock != i && lock != NOBODY ->
            seen[i] = zxid;
            ask[i] = true;
            state[i] = FIRST
        fi
    }
#ifndef NO_ASK
    :: atomic {
        ask[i] && session[i] ->
        ask[i] = false;
        if
        :: lock != NOBODY && lock != i && zxid == seen[i] -> inbox[lock] = true
        :: else
        fi
    }
#endif
#ifndef NO_WATCH
    :: atomic {
        state[i] == FIRST && session[i] && (lock == NOBODY || zxid != seen[i]) ->
        seen[i] = 0;
        ask[i] = false;
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
    :: atomic { state[i] == TAKING && session[i] && faults > 0 -> faults--; do_take(i) }
    :: atomic { state[i] == TAKING && session[i] && faults > 0 -> faults--; late[i] = TAKING }
    :: atomic {
        state[i] == CHECK_TAKEN && session[i] ->
        if
        :: lock == i -> seat[i] = NOBODY; hold(i)
        :: lock != i -> state[i] = READING
        fi
    }

    /* Held: granted, kept in store, or given back. */
    :: atomic {
        state[i] == HELD && session[i] && wants[i] > 0 && lease[i] && !grant[i] ->
        assert(czxid[i] >= token);
        token = czxid[i];
        grant[i] = true;
        had[i] = true;
        only_one()
    }
    :: atomic {
        state[i] == HELD && session[i] && !grant[i] && wanted[i] && (wants[i] == 0 || had[i]) ->
        give_back(i)
    }
    :: atomic {
        state[i] == HELD && session[i] && !grant[i] && wants[i] == 0 && faults > 0 -> /* idle for long */
        faults--;
        give_back(i)
    }
    :: atomic {
        state[i] == HELD && session[i] && grant[i] ->
        wants[i]--;
#ifdef DELETE_FIRST
        give_back(i)
#else
        grant[i] = false
#endif
    }
#ifdef DELETE_FIRST
    :: atomic { state[i] == FREE && grant[i] -> grant[i] = false }
#endif
    :: atomic { state[i] == DELETING && session[i] -> do_delete(); set_free(i) }
#ifdef BLIND_UNLOCK
    :: atomic { state[i] == DELETING && session[i] && faults > 0 -> faults--; do_delete() }
    :: atomic { state[i] == DELETING && session[i] && faults > 0 -> faults--; late_delete[i] = true }
#else
    :: atomic { state[i] == DELETING && session[i] && faults > 0 -> faults--; do_delete(); state[i] = CHECK_DELETE }
    :: atomic {
        state[i] == DELETING && session[i] && faults > 0 ->
        faults--;
        late_delete[i] = true;
        state[i] = CHECK_DELETE
    }
#endif
    :: atomic {
        state[i] == CHECK_DELETE && session[i] ->
        decide(i);
        if
        :: lock == i -> state[i] = DELETING
        :: lock != i -> set_free(i)
        fi
    }
    /* An attempt that comes meanwhile does not wait for the end of the delete: its create is sent behind it. */
    :: atomic {
        state[i] >= DELETING && session[i] && wants[i] > 0 && lease[i] && !wanted[i] && !queue_first[i] ->
        if
        :: state[i] == DELETING -> ahead[i] = true
        :: state[i] == CHECK_DELETE -> decide(i); unsure[i] = true
        fi;
        state[i] = CREATING
    }
    /* Nor for the news that its connection broke: the create is sent on the next one. */
    :: atomic {
        state[i] == DELETING && session[i] && wants[i] > 0 && lease[i] && !wanted[i] && !queue_first[i] &&
            faults > 0 ->
        faults--;
        late_delete[i] = true;
        unsure[i] = true;
        state[i] = CREATING
    }

    /* Another wants it: who keeps it in store gives it back. Who knows of no lock looks whether it has one: the other
     * would wait for ever, and we perhaps behind the other. */
    :: atomic {
        inbox[i] && session[i] ->
        inbox[i] = false;
        if
        :: state[i] == CREATING || state[i] == CHECK_CREATE || (state[i] >= TAKING && state[i] <= HELD) ->
            wanted[i] = true
        :: state[i] == FREE && wants[i] == 0 -> state[i] = CHECK_DELETE
#ifndef NO_DOUBT
        :: state[i] >= QUEUEING && state[i] <= FIRST && lock == i -> leave_seat(i); hold(i)
#endif
        :: else
        fi
    }

    /* A waiter gives up. */
    :: atomic {
        wants[i] > 0 && !grant[i] && faults > 0 ->
        faults--;
        wants[i]--;
        contended[i] = contended[i] && (wants[i] > 0 || state[i] != FREE)
    }
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
        :: state[i] == HELD -> give_back(i)
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
        queue_first[i] = false;
        had[i] = false;
        seat[i] = NOBODY;
        set_free(i);
        session[i] = true;
        lease[i] = true;
        only_one()
    }

    /* What the servers still do. */
    :: atomic { late_delete[i] -> late_delete[i] = false; do_delete() }
    :: atomic { late[i] == CREATING && !late_delete[i] -> late[i] = 0; do_create(i) }
    :: atomic { late[i] == TAKING -> late[i] = 0; do_take(i) }
    :: atomic { deletes[i] > 0 && session[i] -> delete_seat(i) }
    od
}

/* A second is longer than anything else takes: asks again when nothing else goes on. */
inline ask_again(me)
{
    if
    :: state[me] == FIRST && again > 0 -> again--; ask[me] = true; asked = true
    :: else
    fi
}

init
{
    byte k, again = FAULTS + 1;
    bool asked;

    atomic {
        attempts[0] = WANTS_0;
        attempts[1] = WANTS_1;
        attempts[2] = WANTS_2;
        run process(0);
        run process(1);
        run process(2)
    }
    do
    :: atomic {
        timeout ->
        asked = false;
        ask_again(0);
        ask_again(1);
        ask_again(2);
        if
        :: asked
        :: !asked -> break
        fi
    }
    od;
    /* Nothing is left to do: everybody must have had the lock, and nothing be left that nobody knows of. */
    atomic {
        assert(wants[0] + wants[1] + wants[2] == 0);
#ifdef OVERLOOKED
        assert(lock == NOBODY || state[lock] == HELD || forgotten[lock]);
#else
        assert(lock == NOBODY || state[lock] == HELD);
#endif
        do
        :: k < SEATS -> assert(owner[k] == NOBODY); k++
        :: k == SEATS -> break
        od
    }
}
