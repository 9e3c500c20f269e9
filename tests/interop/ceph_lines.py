"""Lines that are typed behind `ceph`, Debian's and ours, on one cluster; the answers are compared.

Words in braces are files in the test's folder (`{out}` is written and read back). Behind `<<<` is
what stands on the standard input. Lines that begin with `~` tell numbers that change by themselves:
digits are blotted out. Of those with `%`, which tell how a cluster is just now, the shape counts:
the first line, or the keys of what is there. Those with `!` are complaints in words of their own:
only the exit code, the output and whether there is a complaint count.
"""

from __future__ import annotations

FILES = {"small": b"a few bytes\n", "config": b"[osd]\n\tdebug_osd = 3/3\n"}

# What changes nothing: told to both in any order.
QUESTIONS = """
%-s
%status
%status -f json
%-s --format json-pretty
%health
%health detail
%health -f json
%health --format=xml
%df
%df detail
%df -f json
fsid
fsid -f json
mon dump
mon dump -f json
mon dump -f xml-pretty
mon dump 1
mon dump 0
mon dump 99
mon dump abc
mon dump -1
~mon stat
mon stat -f json
~quorum_status -f json
mon metadata a
mon metadata nobody
mon versions
versions
versions -f json
%features
mgr dump
mgr module ls
~mgr stat
mgr services
node ls
node ls osd
node ls nothing
osd dump
osd dump -f json
osd dump -f json-pretty
osd dump 5
osd dump -f yaml
!osd dump -f nonsense
!osd dump --format
osd tree
osd tree -f json
osd tree up
osd tree --states up
osd tree --states=up,in
osd tree --states up down
osd tree updown
osd tree 5 up in
osd ls
osd ls -f json
osd getmaxosd
osd find 0
osd find osd.1
osd find 77
osd find mon.a
osd find osd.x
osd find -3
osd metadata 0
osd metadata 77
%osd df
%osd df tree
%osd df -f json
%osd perf
%osd pool stats
osd pool ls
osd pool ls detail
osd pool ls -f json
osd pool get asked size
osd pool get asked size -f json
osd pool get asked all
osd pool get asked nothing
osd pool get nowhere size
osd pool get asked
osd pool get
osd pool
osd po
osd pool get asked size more
osd pool get --pool asked --var size
osd pool get --pool=asked --var=size
osd pool get --pool asked
osd pool get --pol asked size
osd pool get asked --what size
osd blocklist ls
osd crush rule ls
osd crush rule dump replicated_rule
osd crush rule dump nothing
osd crush dump
osd crush tree --show-shadow
osd crush class ls
osd erasure-code-profile get default
osd erasure-code-profile ls
osd lspools
osd map asked thing
osd map asked thing -f json
osd map asked thing space
osd map nowhere thing
osd ok-to-stop 0
osd ok-to-stop
osd ok-to-stop 0 1 2
~osd safe-to-destroy 0 1
osd getcrushmap -o {out}
osd getmap -o {out}
osd getmap 3 -o {out}
!osd getcrushmap -o /nowhere/at/all
mon getmap -o {out}
pg stat -f json --nonsense
%pg stat
%pg dump -f json
%pg dump pgs_brief
%pg dump sum
pg dump nonsense
pg dump pools osds
%pg ls-by-osd osd.0
%pg ls-by-pool asked
pg map 1.0
pg map 1.xyz
pg map 77.0
pg map 1
%pg 1.0 query
pg 1.0
pg 1.0 nonsense
pg 77.0 query
pg nothing query
auth get client.admin
auth get client.nobody
auth print-key client.admin
auth ls -f json
auth get-key client.admin
config dump
config dump -f json
config get osd.0 debug_osd
config get osd.0
config get nobody.x
config help debug_osd
config help nothing_such
~config show osd.0 debug_osd
config-key ls
config-key get nothing
config-key exists nothing
log last x
osd numa-status
osd stat -f xml
~osd stat
osd set-full-ratio 2
osd set-full-ratio abc
osd set-full-ratio
osd reweight 0 abc
osd set nonsense
osd pool create
osd pool set asked size
osd pool set asked size 0
osd pool set asked size abc
osd pool set asked nonsense 3
osd pool delete asked
osd pool delete asked asked
osd pool rename nowhere elsewhere
osd tier add a
osd setcrushmap
mon_status
no such command
nonsense
osd
osd dum
osd tre
tell osd.0 version
tell osd.1 version -f xml
tell osd.* version
tell osd.77 version
tell osd.x version
tell osd version
tell mds.0 version
tell mon.a version
tell mon.b version
tell mon version
tell mon.* version
tell mgr version
tell mgr.x version
tell client.1 version
tell nonsense version
!tell osd.0
tell osd.0 nonsense
tell osd.0 config get debug_osd
tell osd.0 config get nothing
tell osd.0 config get
tell 1.0 query -f json-pretty -o {out}
tell 1.0 nonsense
tell mon.a config get mon_host
tell osd.* config get debug_osd -f json
%tell mon.a mon_status -f json
tell osd.0 help
tell mon.a help
!tell nobody.0 help
!tell osd.99 help
tell mds.* version
!osd tree --verbose
osd dum --concise
-f json osd ls
--format xml osd ls
osd -f json ls
osd ls -- -f
status extra
--completion osd pool
--completion osd pool g
--completion osd tree
--completion osd pool create
--completion
--completion tell osd.0 con
<<< osd ls
<<< osd ls
%<<< status
<<< fsid
-f json <<< osd ls
<<< nonsense
<<< tell osd.0 version
<<< osd pool get asked
!-i {absent} osd ls
!-n client.nobody osd ls
!-c {absent} osd ls
!--id nobody osd ls
!-m 127.0.0.1:1 --connect-timeout 1 osd ls
!-k {absent} osd ls
!--connect-timeout x osd ls
%ping mon.a
!ping mon.nobody
!ping
!ping osd.0
daemon osd.0 version
daemon osd.0 version -f json
daemon {asok} version
daemon osd.0 config get debug_osd
daemon osd.0 config get
daemon osd.0 config get nothing_such
daemon osd.0 nonsense
daemon osd.0
!daemon osd.77 version
!daemon {absent} version
daemon mon.a config get mon_host
daemon osd.0 help
~daemon osd.0 perf dump throttle-msgr_dispatch_throttler-client -f xml
--admin-daemon {asok} version
--admin-daemon {asok}
!--admin-daemon {absent} version
daemonperf osd.0 0 nonsense
daemonperf
"""

# What changes something: told in this order, by each to a cluster as it was.
CHANGES = """
osd pool create changed 8
osd pool create changed 8
osd pool create changed 16
osd pool create other --pg_num 8 --size 2
osd pool create third 4 4 replicated replicated_rule --autoscale-mode off
osd pool create fourth --bad-option 3
osd pool ls
~osd pool set changed size 2
osd pool get changed size
~osd pool set changed min_size 1
osd pool rename changed renamed
osd pool application enable renamed rgw
osd pool application get renamed
osd pool application enable renamed cephfs
osd pool application enable renamed cephfs --yes-i-really-mean-it
osd pool set-quota renamed max_objects 100
osd pool set-quota renamed max_bytes 10abc
osd pool get-quota renamed
osd pool mksnap renamed first
osd pool mksnap renamed first
osd pool rmsnap renamed first
osd pool delete renamed renamed --yes-i-really-really-mean-it
osd pool delete renamed renamed --yes-i-really-really-mean-it
osd pool rm other other --yes-i-really-really-mean-it
osd pool rm third third --yes_i_really_really_mean_it
osd pool ls
osd set noout
osd unset noout
osd set pause --yes-i-really-mean-it
osd unset pause
osd reweight 0 0.5
osd reweight osd.0 1
osd reweight 0 1.5
osd crush reweight osd.0 abc
osd crush reweight osd.77 1
osd crush set-device-class ssd osd.77
osd crush rule create-replicated fast default osd nosuch
osd crush rule create-replicated fast default osd
osd crush rule rm fast
osd crush rm-device-class osd.77
osd crush add-bucket rack1 rack
osd crush add-bucket rack1 rack
osd crush move rack1 root=default
osd crush rm rack1
osd primary-affinity osd.0 0.5
osd primary-affinity osd.0 2
osd primary-affinity osd.0 1
osd erasure-code-profile set mine k=2 m=1
osd erasure-code-profile get mine
osd erasure-code-profile rm mine
osd blocklist add 10.0.0.1:0/3 60
osd blocklist add nonsense
osd blocklist rm 10.0.0.1:0/3
osd setcrushmap -i {small}
config set osd debug_ms 1
config set osd.0 debug_ms nonsense
config set osd nothing_such 1
config set osd nothing_such 1 --force
config rm osd nothing_such
config get osd debug_ms
config get osd.0 debug_ms
config rm osd debug_ms
config assimilate-conf -i {config}
config assimilate-conf -i {config} -o {out}
config rm osd debug_osd
config-key set mine -i {small}
config-key get mine
config-key get mine -o {out}
config-key set mine value
config-key get mine -f json
config-key dump mine
config-key rm mine
config-key rm mine
config-key set piped -i - <<< from a pipe
config-key get piped
config-key rm piped
auth add client.made mon 'allow r' osd 'allow rw pool=x'
auth caps client.made mon 'allow *'
auth caps client.made mon nonsense
auth rm client.made
auth rm client.made
auth get-or-create client.made mon
log something happened
log --level warn something more
tell osd.0 config set debug_ms 0/1
tell osd.0 config get debug_ms
tell osd.0 injectargs --debug_ms 0/0
tell osd.* injectargs -- --debug_ms=0/0
tell osd.0 injectargs --nothing-such 1
tell osd.0 config unset debug_ms
<<< osd set nodown
<<< osd unset nodown
osd scrub 0
osd deep-scrub all
pg scrub 1.0
pg repair 1.77
pg force-recovery 1.0
osd down 77
osd in 0
osd in 0 1 osd.2
osd in any
osd out 77
mgr module enable nonsense
mgr module disable nonsense
"""
