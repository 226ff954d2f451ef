libcore_la_SOURCES += \
	src/recipe/election.c src/recipe/election.h src/recipe/grant.c src/recipe/grant.h src/recipe/lock.c src/recipe/lock.h \
	src/recipe/lock_entry.c src/recipe/lock_entry.h src/recipe/lock_sticky.c src/recipe/lock_wait.c src/recipe/lock_znode.c \
	src/recipe/membership.c src/recipe/membership.h src/recipe/process.c src/recipe/process.h
