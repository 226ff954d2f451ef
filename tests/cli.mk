TESTS += tests/cli/test_cli.sh tests/cli/test_cluster.sh
EXTRA_DIST += tests/cli/tap.sh tests/cli/test_cli.sh tests/cli/test_cluster.sh
