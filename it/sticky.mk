# Locks that stay with their node; included by local.mk, behind what the integration tests share.
IT_TESTS += it/test_sticky

it_test_sticky_SOURCES = it/test_sticky.c
it_test_sticky_CFLAGS = $(IT_COMPILE)
it_test_sticky_LDFLAGS = $(IT_LINK)
it_test_sticky_LDADD = it/libharness.la
