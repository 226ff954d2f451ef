/* The lease: one client, its follower and the leader. README.md says what is left out.
 *
 * Nothing here has a bounded delay: each thread may stall for as long as it likes, the link from the follower to the
 * leader may break at any moment, the client may move to another follower, the ensemble may elect another leader.
 * The only promise about time is that a leader sends a ping at least every H units. A new connection may be granted a
 * shorter timeout; that the client learns it at once is the other assumption here.
 *
 * Proven: the session never ends while the client believes in its lease.
 *
 * Each of these must be found wrong:
 *   -DOBVIOUS        the lease runs from the last acknowledged write
 *   -DTWO_STEP       a write W proves the write V when it was sent LAG after V's acknowledgement
 *   -DNO_LAG         three requests, but without waiting for a ping
 *   -DSYNC_IS_PROOF  the last of the three may be a sync
 *   -DSYNC_RESUMES   after a reconnection an acknowledged sync counts like a write
 *   -DKEEP_TIMEOUT   the lease does not become shorter with the timeout */

#ifndef T
#define T 8 /* the session timeout */
#endif
#ifndef SHORT
#define SHORT (T - 2) /* what another server grants */
#endif
#ifndef H
#define H 2 /* the longest time between two pings */
#endif
#ifdef NO_LAG
#define LAG 0
#else
#define LAG (H + 1) /* one more, as ages are counted in whole units: H + 1 of them are at least H */
#endif

mtype = {WRITE, SYNC, PING, COMMIT, TOUCHED};

/* The client. The chain is V, then X, then W; `step` says how far it has come. */
#define IDLE 0
#define V_SENT 1
#define V_ACKED 2
#define X_SENT 3
#define X_ACKED 4
#define W_SENT 5
#define CUT_OFF 6
#define VALIDATED 7
byte step, lease = T;
byte granted = T; /* the timeout, as far as the client knows */
byte v_age;   /* since V was sent */
byte v_acked; /* since V was acknowledged, up to LAG */
bool v_write;

/* The follower. */
bool touched;  /* its table of active sessions has ours */
mtype pending; /* a request that was taken, and not yet passed on */
bool broken;   /* its link to the leader */

/* The leader. */
byte since;    /* since it last heard that the session is active */
byte limit = T; /* how long it waits for that */
byte ping_age; /* since its last ping */
bool expired;
bool deposed; /* the others have a new leader, and `since` is that one's */
bool ping_is_last; /* of what the follower has not read yet */

chan to_follower = [1] of {mtype};
chan to_client = [1] of {mtype};
chan to_leader = [3] of {mtype};
chan to_learner = [3] of {mtype};

inline clear(c)
{
    do
    :: len(c) > 0 -> c?_
    :: len(c) == 0 -> break
    od
}

inline prolong()
{
    if
    :: granted - v_age > lease -> lease = granted - v_age
    :: else
    fi;
    assert(!(expired && lease > 0));
    v_age = 0;
    v_acked = 0;
    v_write = false;
    step = IDLE
}

/* The client does it at once; in truth it takes even more off, as it counts from its newest write. */
inline shorten()
{
#ifdef KEEP_TIMEOUT
    skip
#else
    granted = SHORT;
    if
    :: lease > granted -> lease = granted
    :: else
    fi
#endif
}

inline send_any(next)
{
    if
    :: to_follower!WRITE
    :: to_follower!SYNC
    fi;
    step = next
}

active proctype client()
{
    do
    :: atomic {
        step == IDLE ->
        if
        :: to_follower!WRITE; v_write = true
#if !defined(OBVIOUS) && !defined(TWO_STEP)
        :: to_follower!SYNC
#endif
        fi;
        v_age = 0;
        step = V_SENT
    }
    :: atomic {
        step == V_SENT && len(to_client) > 0 ->
        to_client?_;
#ifdef OBVIOUS
        prolong()
#else
        v_acked = 0;
        step = V_ACKED
#endif
    }
    :: atomic {
        step == V_ACKED && v_acked >= LAG ->
#ifdef TWO_STEP
        to_follower!WRITE;
        step = W_SENT
#else
        send_any(X_SENT)
#endif
    }
    :: atomic {
        step == X_SENT && len(to_client) > 0 ->
        to_client?_;
        step = X_ACKED
    }
    :: atomic {
        step == X_ACKED ->
#ifdef SYNC_IS_PROOF
        send_any(W_SENT)
#else
        to_follower!WRITE;
        step = W_SENT
#endif
    }
    :: atomic {
        step == W_SENT && len(to_client) > 0 ->
        to_client?_;
        prolong()
    }
    :: atomic {
        step < CUT_OFF ->
        if
#ifdef SYNC_RESUMES
        :: step >= V_ACKED
#else
        :: step >= V_ACKED && v_write
#endif
        :: else -> v_age = T /* no acknowledged request to count from */
        fi;
        clear(to_follower);
        clear(to_client);
        clear(to_leader);
        clear(to_learner);
        ping_is_last = false;
        pending = 0;
        touched = false;
        broken = false;
        v_acked = 0;
        step = CUT_OFF
    }
    /* The leader, or one that does not know yet that it is none any more, says that the session lives. */
    :: atomic {
        step == CUT_OFF && (!expired || deposed) ->
        if
        :: deposed
        :: !expired ->
            since = 0;
            deposed = false;
            if
            :: limit = SHORT;
                shorten()
            :: true
            fi
        fi;
        step = VALIDATED
    }
    :: atomic {
        step == VALIDATED ->
        prolong()
    }
    od
}

/* The thread that takes requests from the client and passes them on. */
active proctype forwarder()
{
    do
    :: atomic {
        pending == 0 && len(to_follower) > 0 ->
        to_follower?pending;
        touched = true
    }
    :: atomic {
        pending != 0 ->
        if
        :: !broken -> to_leader!pending
        :: broken
        fi;
        pending = 0
    }
    od
}

/* The thread that takes packets from the leader, in order. It answers a ping with its table of sessions. */
active proctype learner()
{
    do
    :: atomic {
        to_learner?PING ->
        ping_is_last = ping_is_last && len(to_learner) > 0;
        if
        :: touched && !broken -> to_leader!TOUCHED
        :: !touched || broken
        fi;
        touched = false
    }
    :: atomic { to_learner?COMMIT -> to_client!COMMIT }
    od
}

active proctype leader()
{
    do
    :: atomic {
        to_leader?TOUCHED ->
        if
        :: !expired && !deposed -> since = 0
        :: else
        fi
    }
    /* A write is refused when the session is over; a sync is not. The other servers make the quorum, unless they
     * follow another leader. */
    :: atomic {
        to_leader?WRITE ->
        if
        :: !expired && !deposed -> to_learner!COMMIT; ping_is_last = false
        :: else
        fi
    }
    :: atomic { to_leader?SYNC -> to_learner!COMMIT; ping_is_last = false }
    :: atomic {
        ping_age >= H - 1 ->
        ping_age = 0;
        if
        :: !ping_is_last -> to_learner!PING; ping_is_last = true
        :: ping_is_last /* right behind another one it would change nothing */
        fi
    }
    od
}

active proctype accident()
{
    do
    :: atomic { !broken -> broken = true; clear(to_leader) }
    :: atomic { !deposed && !expired -> deposed = true; since = 0 }
    od
}

active proctype clock()
{
    do
    :: atomic {
        ping_age < H ->
        ping_age++;
        if
        :: lease > 0 -> lease--
        :: else
        fi;
        if
        :: step != IDLE && v_age < granted -> v_age++
        :: else
        fi;
        if
        :: step == V_ACKED && v_acked < LAG -> v_acked++
        :: else
        fi;
        if
        :: since < limit -> since++
        :: else
        fi;
        expired = expired || since >= limit;
        assert(!(expired && lease > 0))
    }
    od
}
