"""Commands that show the CRUSH map: whole, as a tree, its rules, classes, tunables, weight sets.

Upstream: `src/mon/OSDMonitor.cc`, preprocess_command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spirula.commands.arguments import choices, text
from spirula.commands.reply import Reply, said
from spirula.commands.table import CommandFlag, Commands
from spirula.crush.device_classes import devices_of_class
from spirula.crush.dump import dump, dump_choose_args, dump_rule, dump_rules, dump_tunables
from spirula.crush.lookup import find_bucket, find_item, item_class, rule_id, rules_by_class
from spirula.crush.tree import print_tree, tree_document
from spirula.crush.weights import COMPAT
from spirula.errors import CephError, InvalidArgument, NotFound
from spirula.mon.commands.kept import kept
from spirula.mon.services.osdmap.crush.checks import osd_id
from spirula.printing import Items

if TYPE_CHECKING:
    from spirula.mon.request import Request
    from spirula.mon.services.osdmap.service import OSDMapService

commands = Commands("osd")

NAME = "[A-Za-z0-9-_.]"
CLASS = "[A-Za-z0-9-_]"


@commands.add("osd crush dump", perm="r", help="show the CRUSH map")
@kept
def show_map(service: OSDMapService, request: Request) -> Reply:
    """As JSON also where no format was asked for; an empty line follows, as upstream's."""
    return said(data=request.render(dump(service.osdmap.crush), "crush_map") + "\n")


@commands.add("osd crush show-tunables", perm="r", help="show the CRUSH tunables")
def show_tunables(service: OSDMapService, request: Request) -> Reply:
    """All tunables and what they ask of clients."""
    document = dump_tunables(service.osdmap.crush)
    return said(data=request.render(document, "crush_map_tunables") + "\n")


@commands.add(
    "osd crush tree",
    shadow=choices("--show-shadow", required=False),
    perm="r",
    help="show the CRUSH hierarchy as a tree",
)
@kept
def show_tree(service: OSDMapService, request: Request, shadow: str = "") -> Reply:
    """With the weights of each weight set; shadow trees only on demand."""
    osdmap = service.osdmap
    names = osdmap.pool_name
    if request.is_plain:
        return said(data=print_tree(osdmap.crush, names, shadow=bool(shadow)))
    document = tree_document(osdmap.crush, names, shadow=bool(shadow))
    return said(data=request.render(document, "crush_tree"))


@commands.add("osd crush ls", node=text(goodchars=NAME), perm="r", help="list what a bucket has")
def show_node(service: OSDMapService, request: Request, node: str) -> Reply:
    """The names of the bucket's items; of a device itself."""
    crush = service.osdmap.crush
    id = find_item(crush, node)
    if id is None:
        raise NotFound(f"node '{node}' does not exist")
    bucket = find_bucket(crush, id) if id < 0 else None
    items = bucket.items if bucket else [id] if id >= 0 else []
    names = [crush.item_names.get(item, "") for item in items]
    return _listed(request, "items", Items("item", names))


def _listed(request: Request, name: str, items: Items) -> Reply:
    """One a line, or as a list."""
    if request.is_plain:
        return said(data="".join(f"{item}\n" for item in items))
    return said(data=request.render(items, name))


# ------------------------------------------------------------------------------------------ rules


@commands.add("osd crush rule list", perm="r", flags=CommandFlag.DEPRECATED, help="list rules")
@commands.add("osd crush rule ls", perm="r", help="list rules")
def list_rules(service: OSDMapService, request: Request) -> Reply:
    """The names of all rules."""
    crush = service.osdmap.crush
    names = [crush.rule_names.get(id, "") for id, rule in enumerate(crush.rules) if rule]
    return _listed(request, "rules", Items("name", names))


@commands.add(
    "osd crush rule ls-by-class",
    class_=text(goodchars=CLASS.replace("_", "_.")),
    perm="r",
    help="list the rules that take a device class",
)
def list_rules_by_class(service: OSDMapService, request: Request, class_: str) -> Reply:
    """Rules that start from a shadow tree of the class."""
    crush = service.osdmap.crush
    if not class_:
        raise InvalidArgument("no class specified")
    try:
        found = rules_by_class(crush, class_)
    except CephError as error:
        text = f"failed to get rules by class '{class_}'"
        raise CephError.from_errno(error.errno, text) from None
    names = Items("name", [crush.rule_names.get(id, "") for id in found])
    return _listed(request, "rules", names)


@commands.add(
    "osd crush rule dump",
    name=text(required=False, goodchars=NAME),
    perm="r",
    help="show a rule, or all",
)
@kept
def show_rule(service: OSDMapService, request: Request, name: str = "") -> Reply:
    """As JSON also where no format was asked for; an empty line follows, as upstream's."""
    crush = service.osdmap.crush
    if not name:
        return said(data=request.render(dump_rules(crush), "rules") + "\n")
    id = rule_id(crush, name)
    if id is None:
        raise NotFound(f"unknown crush rule '{name}'")
    return said(data=request.render(dump_rule(crush, id), "rule") + "\n")


# ---------------------------------------------------------------------------------------- classes


@commands.add("osd crush class ls", perm="r", help="list device classes")
def list_classes(service: OSDMapService, request: Request) -> Reply:
    """The names of all classes, by id."""
    names = service.osdmap.crush.class_names
    found = Items("class", [names[id] for id in sorted(names)])
    return said(data=request.render(found, "crush_classes"))


@commands.add(
    "osd crush class ls-osd",
    class_=text(goodchars=CLASS),
    perm="r",
    help="list the OSDs of a device class",
)
def list_class_osds(service: OSDMapService, request: Request, class_: str) -> Reply:
    """Their ids."""
    return _listed(request, "osds", Items("osd", devices_of_class(service.osdmap.crush, class_)))


@commands.add(
    "osd crush get-device-class",
    ids=text(repeated=True),
    perm="r",
    help="show the device class of OSDs",
)
def get_device_class(service: OSDMapService, request: Request, ids: list[str]) -> Reply:
    """The class alone where one OSD was named, else one OSD a line."""
    crush = service.osdmap.crush
    found = {}
    for word in ids:
        try:
            osd = osd_id(word)
        except InvalidArgument:
            raise InvalidArgument(f"unable to parse osd id:'{word}'") from None
        found[osd] = item_class(crush, osd) or ""
    if not request.is_plain:
        rows = ({"osd": osd, "device_class": found[osd]} for osd in sorted(found))
        return said(data=request.render(Items("osd_device_class", rows), "osd_device_classes"))
    if len(found) == 1:
        name = next(iter(found.values()))
        return said(data=f"{name}\n" if name else "")
    return said(data="".join(f"osd.{osd} {found[osd]}\n" for osd in sorted(found)))


# ------------------------------------------------------------------------------------ weight sets


@commands.add("osd crush weight-set ls", perm="r", help="list weight sets")
def list_weight_sets(service: OSDMapService, request: Request) -> Reply:
    """By pool; the one that old clients obey is called (compat)."""
    osdmap = service.osdmap
    sets = osdmap.crush.choose_args
    names = ["(compat)"] if COMPAT in sets else []
    names += [osdmap.pool_name.get(key, "") for key in sorted(sets) if key >= 0]
    return _listed(request, "weight_sets", Items("pool", names))


@commands.add("osd crush weight-set dump", perm="r", help="show weight sets")
def show_weight_sets(service: OSDMapService, request: Request) -> Reply:
    """All of them."""
    document = dump_choose_args(service.osdmap.crush)
    return said(data=request.render(document, "choose_args"))
