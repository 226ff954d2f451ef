libcore_la_SOURCES += \
	src/cluster/cluster.c src/cluster/cluster.h src/cluster/events.c src/cluster/keyed.c src/cluster/lock_end.c \
	src/cluster/lock_list.c src/cluster/locks.c src/cluster/master.c src/cluster/members.c src/cluster/parts.c \
	src/cluster/task.c src/cluster/write.c
