"""One cycle of the matrix at a point of a takeover: a node dies with an answer in its spool, and the one that buries it and
takes over is the victim. Killed and started again at once, so that nobody's death but the first tells of what was left; or
killed, or frozen, until a third one has found them both. Then the first comes back with its spool, and nothing is lost."""
from trio import POLICIES, Failed, Gone, RpcError, TooEarly, wait_for

OVER = ("node.fence", "node.fencing", "node.fenced", "node.taken", "node.buried", "over.F23")
TTL = 6


def takeover(bench, point, policy, mode):
    for one in POLICIES:
        bench.ensure_grant(one)
    trio, heir = bench.trio, bench.victim
    dead, third = bench.rng.sample(bench.others(), 2)
    third.daemon.stop()  # else it may be the first to come
    trio.buried(third)
    dead.daemon.stop()
    trio.buried(dead)
    trio.start(dead, faults="F13:kill9")
    bench.arm(f"{point.replace('over.', '')}:{bench.action(mode)}")
    bench.known()
    for node in (heir, dead):
        def alone(node=node):
            """two are alive, and nothing is left of the third"""
            return sorted(node.states().values()) == ["gone", "live", "live"]
        wait_for(alone, 10)
    if policy == "family":
        bench.server.post("/_ctl/client", {"client_id": policy, "at_ttl": TTL})
        bench.until_refreshed(heir, policy)
    wait_for(lambda: ends_with_it(dead, bench.grants[policy]), 15)
    if trio.sql("SELECT count(DISTINCT credential_id) FROM grantd.intents") not in ("0", "1"):
        raise TooEarly()  # it had another in hand, which nobody may present now
    bench.result["reached"] = bench.gone(mode, 15)
    if not bench.result["reached"]:
        raise Failed("nobody took over")
    if mode == "at once":
        _ = bench.try_start() or bench.try_start()
    else:
        trio.start(third)
        trio.buried(heir)
    trio.buried(dead)
    bench.victim = dead
    found = {node.status(bench.grants[policy]) for node in bench.others()}
    if policy in ("strict", "family") and found != {"uncertain"}:
        raise Failed(f"who was buried may hold the answer, and nobody minds: {found}")
    bench.meanwhile(policy, point)
    bench.victim = heir
    if mode == "frozen":
        bench.thaw()
    trio.start()
    if not bench.recovers(bench.rng.choice(trio.nodes), policy, False):
        raise bench.loss(policy, "lost without need")
    if policy == "family":
        bench.server.post("/_ctl/client", {"client_id": policy, "at_ttl": 3600})
        bench.until_refreshed(bench.rng.choice(trio.nodes), policy)


def ends_with_it(node, grant):
    """it dies when it renews the grant; another may be at it, or have news that it has not heard"""
    try:
        node.call("grant.refresh", grant=grant)
    except RpcError as e:
        if e.reason != "CONFLICT":
            raise
    except (Gone, OSError):
        pass
    return not node.up()
