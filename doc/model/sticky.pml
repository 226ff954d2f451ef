/* One lock that stays with its node, and how others ask for it. README.md says what is left out.
 *
 * Lost replies are in lock.pml; here every request is answered. The nodes want the lock WANTS_0, WANTS_1 and WANTS_2
 * times, each time waiting for it or only trying. At any moment a waiter may give up; a kept lock may be given back; an
 * inbox may be removed by a foreign hand; a node may have to join again, with another inbox; a lease may lapse; FAULTS
 * times in all. While its lease has lapsed a session may end. The node CLIENT has no inbox.
 *
 * Proven: at most one valid holder; nobody deletes another's lock; when the faults have stopped everybody who waited
 * has had the lock, no seat and no request is left, and no lock but one that its owner keeps and can be asked for; and
 * that one was refused to nobody since its owner got it: whoever was not answered in time and tries again gets it.
 *
 * Each of these must be found wrong:
 *   -DNO_REASK          a waiter asks each holder only once
 *   -DGIVE_UP_BUSY      a holder that is asked gives the lock up without looking whether it is in use
 *   -DKEEP_UNREACHABLE  a lock is kept although its znode does not name the present inbox
 *   -DKEEP_OVER         what is kept outlives the session
 *   -DGIVE_UP_BLIND     who was asked deletes the lock without looking whether it has it
 *   -DSTAY_SEATED       a waiter that gives up leaves its seat behind
 *   -DTAKE_BACK         who is not answered in time takes its request back
 *   -DNO_ERASE          a holder leaves what it has read in its inbox
 *   -DNO_LEASE          a grant is believed without looking at the lease */

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
#ifndef CLIENT
#define CLIENT N /* nobody */
#endif
#define NOBODY 255

/* The servers. */
byte lock = NOBODY;       /* whose session owns it, */
bool named;               /* and whether it names the present inbox of that one */
bool open[N] = true;      /* the present inbox is there */
byte request[N] = NOBODY; /* in the inbox: who made it; there is one at most, as it is named like the lock */
byte queue[N], waiting;
bool session[N] = true;
/* Somebody asked the lock's holder in vain: no answer came in time, and it has not read the request yet. */
bool refused;

/* The nodes. */
#define FREE 0
#define ASKING 1   /* watches the request in the holder's inbox */
#define LOOKING 2  /* it is gone: looks once more */
#define QUEUED 3
#define TAKEN 4    /* the lock is ours, and somebody in the process waits for it */
#define BUSY 5     /* has it */
#define HELD 6     /* had it */
#define DELETING 7
byte state[N];
byte wants[N];
bool wanted[N];      /* others want it too */
bool queue_first[N]; /* had its turn */
bool reachable[N] = true; /* believes that its inbox is there */
bool lease[N] = true;
#define READ 1   /* what is in the inbox was read, and will be erased: */
#define BEHIND 2 /* after the lock is deleted */
byte read[N];
#define SENT 1 /* to the holder */
#define LATE 2 /* the same; the lock has another holder already, or that one anew */
#define MADE 3
byte ask[N];
byte askee[N];
bool asks_there[N]; /* in its present inbox */

byte faults = FAULTS;

#ifdef NO_LEASE
#define VALID(i) (state[i] == BUSY)
#else
#define VALID(i) (state[i] == BUSY && lease[i])
#endif
#define FIRST(i) (state[i] == QUEUED && waiting > 0 && queue[0] == i)
#define MAY_ASK (named && open[lock])
#ifdef KEEP_UNREACHABLE
#define MAY_KEEP(i) (!wanted[i])
#else
#define MAY_KEEP(i) (!wanted[i] && reachable[i] && named)
#endif

inline only_one()
{
    assert(!(VALID(0) && VALID(1)));
    assert(!(VALID(0) && VALID(2)));
    assert(!(VALID(1) && VALID(2)))
}

/* Whoever watches the request sees it go. */
inline erase_request(at)
{
    request[at] = NOBODY;
    i = 0;
    do
    :: i < N && state[i] == ASKING && askee[i] == at ->
        state[i] = LOOKING;
        i++
    :: i < N && !(state[i] == ASKING && askee[i] == at) -> i++
    :: i == N -> break
    od;
    i = 0
}

inline make_request(at, from)
{
    if
    :: request[at] == NOBODY -> request[at] = from
    :: else
    fi
}

inline forget_request(me)
{
    ask[me] = 0;
    askee[me] = 0;
    asks_there[me] = false
}

/* What was asked stays in the inbox until it is read. */
inline give_up_request(me)
{
#ifdef TAKE_BACK
    if
    :: asks_there[me] && open[askee[me]] -> erase_request(askee[me])
    :: else
    fi;
#endif
    forget_request(me)
}

/* Each holder is asked once: who asked the last one asks this one too. */
inline hold(me)
{
    lock = me;
    refused = false;
    named = reachable[me];
    forget_request(me);
    i = 0;
    do
    :: i < N -> ask[i] = (ask[i] == SENT || ask[i] == LATE -> LATE : 0); i++
    :: i == N -> break
    od;
    i = 0;
    queue_first[me] = false;
    state[me] = TAKEN
}

inline enqueue(me)
{
    queue[waiting] = me;
    waiting++;
    forget_request(me);
    state[me] = QUEUED
}

inline leave_queue(me)
{
    i = 0;
    do
    :: i < waiting && queue[i] != me -> i++
    :: i < waiting && queue[i] == me -> break
    :: i == waiting -> break
    od;
    if
    :: i < waiting ->
        do
        :: i + 1 < waiting -> queue[i] = queue[i + 1]; i++
        :: i + 1 == waiting -> break
        od;
        waiting--;
        queue[waiting] = 0
    :: else
    fi;
    i = 0
}

inline give_back(me)
{
    queue_first[me] = wanted[me] && wants[me] > 0;
    state[me] = DELETING
}

/* What a foreign hand, the master or the node itself removes is gone with all that is in it. */
inline remove_inbox(me)
{
    open[me] = false;
    read[me] = 0;
    refused = refused && lock != me;
    erase_request(me)
}

inline other_inbox(me)
{
    reachable[me] = false;
    named = named && lock != me;
    i = 0;
    do
    :: i < N && askee[i] == me -> asks_there[i] = false; i++
    :: i < N && askee[i] != me -> i++
    :: i == N -> break
    od;
    i = 0
}

inline end_session(me)
{
    session[me] = false;
    if
    :: lock == me -> lock = NOBODY; named = false; refused = false
    :: else
    fi;
    leave_queue(me);
    k = 0;
    do
    :: k < N && request[k] == me -> refused = refused && lock != k; erase_request(k); k++
    :: k < N && request[k] != me -> k++
    :: k == N -> break
    od;
    k = 0
}

proctype node(byte me)
{
    byte i, k;

    do
    /* Takes what is free; what is not it asks for, or waits for, or does without. */
    :: atomic {
        state[me] == FREE && wants[me] > 0 && session[me] && lease[me] ->
        if
        :: queue_first[me] -> enqueue(me)
        :: lock == NOBODY -> hold(me) /* also after its turn, as that is forgotten after a while */
        :: lock != NOBODY -> enqueue(me)
        :: lock != NOBODY && MAY_ASK ->
            make_request(lock, me);
            askee[me] = lock;
            asks_there[me] = true;
            ask[me] = MADE;
            state[me] = ASKING
        :: lock != NOBODY -> queue_first[me] = false; wants[me]--
        fi
    }
    :: atomic { /* too slow */
        state[me] == ASKING && session[me] ->
        refused = refused || (askee[me] == lock && asks_there[me] && read[lock] == 0);
        give_up_request(me);
        state[me] = LOOKING
    }
    :: atomic {
        state[me] == LOOKING && session[me] ->
        if
        :: lock == NOBODY -> hold(me)
        :: lock != NOBODY -> enqueue(me)
        :: lock != NOBODY -> forget_request(me); state[me] = FREE; wants[me]--
        fi
    }

    /* The first in the queue watches the lock, and asks its holder. */
    :: atomic {
        FIRST(me) && lock == NOBODY && session[me] && (ask[me] == 0 || ask[me] == MADE) ->
        leave_queue(me);
        if
        :: waiting > 0 -> wanted[me] = true
        :: wanted[me] = false /* who came later was not seen */
        fi;
        hold(me)
    }
    :: atomic {
        FIRST(me) && lock != NOBODY && lock != me && ask[me] == 0 && session[me] ->
        askee[me] = lock;
        asks_there[me] = named;
        ask[me] = SENT
    }
    :: atomic {
        state[me] == QUEUED && (ask[me] == SENT || ask[me] == LATE) && session[me] ->
        if
        :: asks_there[me] && open[askee[me]] -> make_request(askee[me], me)
        :: else
        fi;
        ask[me] = (ask[me] == SENT -> MADE : 0)
    }
    :: atomic {
        state[me] == QUEUED && session[me] && faults > 0 -> /* its time is over */
        faults--;
#ifndef STAY_SEATED
        leave_queue(me);
#endif
        give_up_request(me);
        state[me] = FREE;
        wants[me]--
    }

    /* Granted, kept, or given back. Who releases may not know yet that the lease has lapsed. */
    :: atomic {
        (state[me] == TAKEN || state[me] == HELD) && wants[me] > 0 && lease[me] ->
        state[me] = BUSY;
        only_one()
    }
    :: atomic { state[me] == TAKEN && faults > 0 -> faults--; wants[me]--; state[me] = HELD } /* given up just then */
    :: atomic { state[me] == HELD && !MAY_KEEP(me) -> give_back(me) }
    :: atomic { state[me] == HELD && MAY_KEEP(me) && faults > 0 -> faults--; give_back(me) } /* idle for long */
    :: atomic { state[me] == BUSY -> wants[me]--; state[me] = HELD }
    :: atomic {
        state[me] == DELETING && session[me] ->
        assert(lock == NOBODY || lock == me);
        lock = NOBODY;
        named = false;
        refused = false;
        read[me] = (read[me] == BEHIND -> READ : read[me]);
        wanted[me] = false;
        state[me] = FREE
    }

    /* The inbox is read, and what was read erased. */
    :: atomic {
        request[me] != NOBODY && open[me] && session[me] && read[me] == 0 ->
        read[me] = READ;
        if
        :: state[me] == HELD -> wanted[me] = true; give_back(me); read[me] = BEHIND
        :: state[me] == HELD && wants[me] > 0 -> wanted[me] = true /* others in this process were first */
        :: state[me] == TAKEN || state[me] == BUSY ->
            wanted[me] = true
#ifdef GIVE_UP_BUSY
            ;
            lock = NOBODY
#endif
#ifdef GIVE_UP_BLIND
        :: state[me] == FREE -> state[me] = DELETING
#endif
        :: else
        fi
    }
#ifndef NO_ERASE
    :: atomic {
        read[me] != 0 && session[me] && (read[me] == READ || state[me] != DELETING) ->
        read[me] = 0;
        erase_request(me)
    }
#endif

    /* A foreign hand removes the inbox; its node finds out, and makes it again. */
    :: atomic { open[me] && session[me] && faults > 0 -> faults--; remove_inbox(me) }
    :: atomic { !open[me] && session[me] && me != CLIENT -> open[me] = true; reachable[me] = true }
    /* The member znode is removed: the node joins again, with another inbox. */
    :: atomic {
        session[me] && me != CLIENT && faults > 0 ->
        faults--;
        remove_inbox(me);
        other_inbox(me)
    }

    /* The lease lapses, which ends a grant, and comes back with an acknowledged write. */
    :: atomic { lease[me] && session[me] && faults > 0 -> faults--; lease[me] = false }
    :: atomic { !lease[me] && state[me] == BUSY -> wants[me]--; give_back(me) }
    :: atomic { !lease[me] && session[me] && state[me] != BUSY -> lease[me] = true; only_one() }
    /* The session ends; the node hears of it, and has a new one. */
    :: atomic { !lease[me] && session[me] -> end_session(me) }
    :: atomic {
        !session[me] && state[me] != BUSY ->
#ifdef KEEP_OVER
        state[me] = (state[me] == HELD -> HELD : FREE);
#else
        state[me] = FREE;
#endif
        wanted[me] = false;
        queue_first[me] = false;
        forget_request(me);
        remove_inbox(me);
        other_inbox(me);
        session[me] = true;
        lease[me] = true;
        only_one()
    }
    od
}

/* A second is longer than anything else takes: asks again when nothing else goes on. */
inline ask_again(me)
{
    if
    :: FIRST(me) && lock != me && ask[me] == MADE && again > 0 -> ask[me] = 0; again--; asked = true
    :: else
    fi
}

init
{
    byte k;
#ifdef NO_REASK
    byte again = 0;
#else
    byte again = FAULTS + N;
#endif
    bool asked;

    atomic {
#if CLIENT < N
        open[CLIENT] = false;
        reachable[CLIENT] = false;
#endif
        wants[0] = WANTS_0;
        wants[1] = WANTS_1;
        wants[2] = WANTS_2;
        run node(0);
        run node(1);
        run node(2)
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
        assert(waiting == 0);
        assert(lock == NOBODY || (state[lock] == HELD && MAY_ASK));
        assert(!refused);
        do
        :: k < N -> assert(request[k] == NOBODY); k++
        :: k == N -> break
        od
    }
}
