p# c
ode-axis2.clustering.zookeeper.servers = a:1,\
  b:2
ode-axis2.clustering.zookeeper.cluster:\u0041${user.home}${env.HOME}
a ${b}
b=${a}
ode-axis2.clustering.zookeeper.base=${a}