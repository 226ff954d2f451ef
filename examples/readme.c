#include <odezk/odezk.h>
#include <stdio.h>

int main(void)
{
    odezk_cluster *cluster = NULL;
    odezk_lock *lock = NULL;
    int failed = odezk_cluster_new(NULL, NULL, &cluster) || odezk_cluster_join(cluster, 10000) ||
                 odezk_lock_acquire(cluster, ODEZK_SPACE_INSTANCE, "4711", 1000, &lock);

    if (failed)
        fprintf(stderr, "%s\n", odezk_last_error());
    else
        printf("%s%s has 4711, fencing token %lld\n", odezk_cluster_node_id(cluster),
               odezk_is_master(cluster, NULL) ? " (master)" : "", (long long)odezk_lock_token(lock));
    odezk_lock_free(lock);
    odezk_cluster_free(cluster);
    return failed ? 1 : 0;
}
