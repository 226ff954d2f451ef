#include "cluster/cluster.h"

#include "base/clock.h"
#include "base/error.h"

#include <stdio.h>
#include <time.h>

void oz_task_init(struct oz_task *task, void (*run)(struct oz_task *task), void (*destroy)(struct oz_task *task))
{
    task->run = run;
    task->destroy = destroy;
    task->refs = 1;
    oz_list_init(&task->link);
    pthread_mutex_init(&task->lock, NULL);
    pthread_cond_init(&task->cond, NULL);
}

void oz_task_unref(struct oz_task *task)
{
    bool last;

    pthread_mutex_lock(&task->lock);
    last = --task->refs == 0;
    pthread_mutex_unlock(&task->lock);
    if (!last)
        return;
    pthread_cond_destroy(&task->cond);
    pthread_mutex_destroy(&task->lock);
    task->destroy(task);
}

bool oz_task_abandoned(struct oz_task *task)
{
    bool abandoned;

    pthread_mutex_lock(&task->lock);
    abandoned = task->abandoned;
    pthread_mutex_unlock(&task->lock);
    return abandoned;
}

void oz_task_finish(struct oz_task *task, int error, const char *why)
{
    task->cluster->active_tasks--;
    pthread_mutex_lock(&task->lock);
    task->done = true;
    task->error = error;
    snprintf(task->why, sizeof task->why, "%s", why ? why : odezk_strerror(error));
    pthread_cond_signal(&task->cond);
    pthread_mutex_unlock(&task->lock);
    oz_task_unref(task);
}

/* Requests of a task would pile up in the session as long as it is cut off, and outlive the task's caller. */
static bool may_run(const struct oz_task *task)
{
    const struct oz_session *session = task->cluster->session;

    return oz_session_connected(session) || (task->offline && oz_session_id(session) != 0);
}

void oz_task_again(struct oz_task *task)
{
    odezk_cluster *cluster = task->cluster;

    if (cluster->closing || oz_task_abandoned(task))
        oz_task_finish(task, cluster->refused ? cluster->refused : ODEZK_ECLOSED,
                       cluster->refused ? cluster->refusal : NULL);
    else if (may_run(task))
        task->run(task);
    else
        oz_list_append(&cluster->tasks, &task->link);
}

static void arrived(struct oz_msg *msg)
{
    struct oz_task *task = oz_container(msg, struct oz_task, msg);

    task->cluster->active_tasks++;
    oz_task_again(task);
}

void oz_tasks_go(odezk_cluster *cluster, int error)
{
    struct oz_list todo, *node;

    oz_list_init(&todo);
    oz_list_splice(&todo, &cluster->tasks);
    while ((node = oz_list_pop(&todo)) != NULL) {
        struct oz_task *task = oz_container(node, struct oz_task, link);

        if (error)
            oz_task_finish(task, error, cluster->refusal[0] ? cluster->refusal : NULL);
        else
            oz_task_again(task);
    }
}

/* Nobody waits for it any more: it does not wait for a connection either. */
static void left(struct oz_msg *msg)
{
    struct oz_task *task = oz_container(msg, struct oz_task, left_msg);

    if (!oz_list_empty(&task->link)) {
        oz_list_remove(&task->link);
        oz_task_finish(task, ODEZK_EUNREACHABLE, NULL);
    }
    oz_task_unref(task);
}

/* With the task's lock held. */
static void abandon(struct oz_task *task)
{
    task->abandoned = true;
    task->refs++;
    task->left_msg.run = left;
    oz_dispatch_post(task->cluster->dispatch, &task->left_msg);
}

static int await(struct oz_task *task, int timeout_ms)
{
    struct timespec until = oz_deadline_in(timeout_ms * OZ_MS);
    int rc = 0;

    pthread_mutex_lock(&task->lock);
    while (!task->done && rc == 0)
        rc = pthread_cond_clockwait(&task->cond, &task->lock, CLOCK_MONOTONIC, &until);
    if (!task->done) {
        abandon(task);
        rc = oz_cluster_unreachable(task->cluster, timeout_ms);
    } else {
        rc = task->error ? oz_fail(task->error, "%s", task->why) : ODEZK_OK;
    }
    pthread_mutex_unlock(&task->lock);
    return rc;
}

int oz_task_run(odezk_cluster *cluster, struct oz_task *task, int timeout_ms)
{
    int rc = oz_cluster_start(cluster);

    if (rc != ODEZK_OK)
        return rc;
    task->cluster = cluster;
    task->refs = 2;
    task->msg.run = arrived;
    oz_dispatch_post(cluster->dispatch, &task->msg);
    return await(task, timeout_ms);
}
