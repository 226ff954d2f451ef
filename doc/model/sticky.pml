/* Locks that stay with their node, and how others ask for them. What becomes of lost replies is in lock.pml; here every
 * request is answered, but inboxes and requests in them may vanish, nodes may have to join again, leases lapse
 * and sessions end, FAULTS times in all, at any moment.
 *
 * Each of N nodes wants the lock WANTS times, each time either waiting for it or only trying.
 *
 * Proven: at most one valid holder; no waiter is forgotten: everybody who waits gets the lock; in the end no seat and no
 * request is left, and no lock but one that its owner knows of and keeps.
 *
 * Each of these must be found wrong:
 *   -DNO_REASK         a waiter asks a holder only once
 *   -DGIVE_UP_BUSY     a holder that is asked gives the lock up without looking whether it is in use
 *   -DKEEP_UNREACHABLE a lock is kept although its znode does not name the present inbox
 *   -DNO_LEASE         a grant is believed without looking at the lease */

#ifndef N
#define N 3
#endif
#ifndef WANTS
#define WANTS 1
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#define NOBODY 255

/* The servers. */
byte lock = NOBODY;       /* whose session owns it */
byte box;                 /* which of its inboxes it names */
byte zxid;
byte inbox[N] = 1;        /* which inbox a node has, */
bool open[N] = true;      /* and whether it is there */
bool request[N * N];      /* of one node in the inbox of another */
byte queue[N], waiting;
bool session[N] = true;

/* The nodes. */
#define FREE 0
#define ASKING 1   /* only tries; waits for the holder's answer */
#define LOOKING 2  /* was answered, and looks once more */
#define QUEUED 3
#define BUSY 4     /* somebody in the process has it */
#define IDLE 5     /* kept */
#define DELETING 6
byte state[N];
byte wants[N] = WANTS;
bool wanted[N];      /* others want it too */
bool queue_first[N]; /* had its turn */
bool lease[N] = true;
byte asked[N];       /* which holder was asked, by the zxid of its lock */
byte askee[N] = NOBODY; /* in whose inbox the request is */
byte faults = FAULTS;
byte done;

#ifdef NO_LEASE
#define VALID(i) (state[i] == BUSY)
#else
#define VALID(i) (state[i] == BUSY && lease[i])
#endif
#define FIRST(i) (state[i] == QUEUED && waiting > 0 && queue[0] == i)
#define CAN_ASK (open[lock] && inbox[lock] == box)

inline only_one()
{
    assert(!(VALID(0) && VALID(1)));
#if N > 2
    assert(!(VALID(0) && VALID(2)));
    assert(!(VALID(1) && VALID(2)))
#endif
}

inline hold(me)
{
    zxid++;
    lock = me;
    box = inbox[me];
    asked[me] = 0;
    askee[me] = NOBODY;
    state[me] = BUSY;
    only_one()
}

inline ask(me)
{
    askee[me] = lock;
    request[lock * N + me] = true
}

inline take_back(me)
{
    if
    :: askee[me] != NOBODY -> request[askee[me] * N + me] = false
    :: else
    fi;
    askee[me] = NOBODY;
    asked[me] = 0
}

inline leave_queue(me)
{
    i = 0;
    do
    :: i < waiting && queue[i] != me -> i++
    :: else -> break
    od;
    if
    :: i < waiting ->
        do
        :: i + 1 < waiting -> queue[i] = queue[i + 1]; i++
        :: else -> break
        od;
        waiting--;
        queue[waiting] = 0
    :: else
    fi;
    i = 0
}

inline enqueue(me)
{
    queue[waiting] = me;
    waiting++;
    state[me] = QUEUED
}

inline end_attempt(me)
{
    wants[me]--;
    if
    :: wants[me] == 0 -> done++
    :: else
    fi
}

/* Requests in an inbox that is removed are gone; who made them does not hear of it. */
inline clear_inbox(me)
{
    i = 0;
    do
    :: i < N -> request[me * N + i] = false; i++
    :: else -> break
    od;
    i = 0
}

/* What the servers do when a session ends. */
inline end_session(me)
{
    session[me] = false;
    if
    :: lock == me -> lock = NOBODY; box = 0
    :: else
    fi;
    leave_queue(me);
    i = 0;
    do
    :: i < N -> request[i * N + me] = false; i++
    :: else -> break
    od;
    i = 0
}

inline give_back(me)
{
    queue_first[me] = wanted[me];
    state[me] = DELETING
}

proctype node(byte me)
{
    byte i;

    do
    /* ---- taking ---- */
    :: atomic {
        state[me] == FREE && wants[me] > 0 && session[me] && lease[me] ->
            if
            :: queue_first[me] -> enqueue(me)
            :: else ->
                if
                :: lock == NOBODY -> hold(me)
                :: lock != NOBODY -> enqueue(me) /* waits */
                :: lock != NOBODY && CAN_ASK -> ask(me); state[me] = ASKING
                :: lock != NOBODY && !CAN_ASK -> end_attempt(me) /* only tried */
                fi
            fi
       }
    :: atomic { state[me] == ASKING && (askee[me] == NOBODY || !request[askee[me] * N + me]) -> state[me] = LOOKING }
    :: atomic { state[me] == ASKING && faults > 0 -> faults--; /* no answer in time */
            take_back(me); state[me] = FREE; end_attempt(me) }
    :: atomic {
        state[me] == LOOKING && session[me] && lease[me] ->
            if
            :: lock == NOBODY -> hold(me)
            :: else -> askee[me] = NOBODY; state[me] = FREE; end_attempt(me)
            fi
       }
    /* ---- the first in the queue ---- */
    :: atomic { FIRST(me) && lock == NOBODY && session[me] -> leave_queue(me); queue_first[me] = false;
            wanted[me] = (waiting > 0); hold(me) }
    :: atomic { FIRST(me) && lock != NOBODY && lock != me && asked[me] != zxid && session[me] ->
            asked[me] = zxid;
            if
            :: CAN_ASK -> ask(me)
            :: else
            fi }
#ifndef NO_REASK /* after a while; here only when that changes something, so that it is not done for ever */
    :: atomic { FIRST(me) && lock != NOBODY && lock != me && asked[me] == zxid && session[me] && CAN_ASK &&
            !request[lock * N + me] && !wanted[lock] -> ask(me) }
#endif
    :: atomic { state[me] == QUEUED && faults > 0 -> faults--; /* its time is over */
            leave_queue(me); take_back(me); state[me] = FREE; end_attempt(me) }
    /* ---- holding ---- */
    :: atomic {
        state[me] == BUSY && lease[me] ->
            end_attempt(me);
            if
#ifdef KEEP_UNREACHABLE
            :: !wanted[me] -> state[me] = IDLE
            :: wanted[me] -> give_back(me)
#else
            :: !wanted[me] && open[me] && session[me] && box == inbox[me] -> state[me] = IDLE
            :: else -> give_back(me)
#endif
            fi
       }
    :: atomic { state[me] == IDLE && wants[me] > 0 && lease[me] -> state[me] = BUSY; only_one() }
    :: atomic { state[me] == DELETING && session[me] ->
            if
            :: lock == me -> lock = NOBODY; box = 0
            :: else
            fi;
            wanted[me] = false; state[me] = FREE }
    /* ---- the inbox ---- */
    :: atomic {
        session[me] && open[me] && (request[me * N] || request[me * N + 1]
#if N > 2
            || request[me * N + 2]
#endif
            ) ->
            clear_inbox(me);
            if
            :: state[me] == BUSY -> wanted[me] = true
#ifdef GIVE_UP_BUSY
                ; lock = NOBODY
#endif
            :: state[me] == IDLE -> wanted[me] = true; give_back(me)
            :: else
            fi
       }
    /* ---- faults ---- */
    :: atomic { faults > 0 && open[me] && session[me] -> faults--; open[me] = false; clear_inbox(me) } /* a foreign hand */
    :: atomic { !open[me] && session[me] -> open[me] = true }
    :: atomic { faults > 0 && session[me] -> faults--; /* its member znode is removed: it joins again */
            clear_inbox(me); inbox[me]++; open[me] = true;
            if
#ifndef KEEP_UNREACHABLE
            :: state[me] == IDLE -> give_back(me)
#endif
            :: else
            fi }
    :: atomic { faults > 0 && lease[me] && session[me] -> faults--; lease[me] = false }
    :: atomic { !lease[me] && session[me] -> lease[me] = true; /* connected again: what was in use is lost */
            if
            :: state[me] == BUSY -> end_attempt(me); give_back(me)
            :: else
            fi }
    :: atomic { !lease[me] && session[me] -> end_session(me) }
    :: atomic { !session[me] -> /* the node hears of it, and has a new session */
            if
            :: state[me] == BUSY -> end_attempt(me)
            :: else
            fi;
            state[me] = FREE; wanted[me] = false; queue_first[me] = false; asked[me] = 0; askee[me] = NOBODY;
            clear_inbox(me); inbox[me]++; open[me] = true; session[me] = true; lease[me] = true }
    /* ---- the end ---- */
    :: atomic {
        done == N && session[me] && lease[me] && open[me] && (state[me] == FREE || state[me] == IDLE) &&
                !(request[me * N] || request[me * N + 1]
#if N > 2
            || request[me * N + 2]
#endif
            ) -> break
       }
    od
}

init
{
    byte i;

    atomic {
        do
        :: i < N -> run node(i); i++
        :: else -> break
        od;
        i = 0
    };
    _nr_pr == 1;
    assert(waiting == 0);
    assert(lock == NOBODY || (state[lock] == IDLE && box == inbox[lock]))
}
