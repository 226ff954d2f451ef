libcore_la_SOURCES += \
	src/znode/fields.c src/znode/fields.h src/znode/inbox.c src/znode/inbox.h src/znode/names.c src/znode/names.h \
	src/znode/paths.c src/znode/paths.h src/znode/seat.c src/znode/seat.h src/znode/tree.c src/znode/tree.h
