"""For every check a tree without sin, and the same tree with one: the first passes, the second is found."""
import os
import shutil
import subprocess
import tempfile
import unittest

import artefacts
import shape
import sources
import tables
import tracked
from common import Tree, bare

REASONS = 'GD_REASON(OK, OK, "It worked.", "Nothing.")\n'


class Planted(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="check-")
        self.addCleanup(shutil.rmtree, self.root)

    def plant(self, files):
        for name, text in files.items():
            path = os.path.join(self.root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
        return Tree(self.root, list(files))

    def finds(self, check, files, text):
        complaints = check(self.plant(files))
        self.assertTrue(any(text in one for one in complaints), complaints)

    def clean(self, check, files):
        self.assertEqual(check(self.plant(files)), [])


class Sources(Planted):
    def test_format(self):
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.clang-format"), self.root)
        self.clean(sources.check_format, {"core/base/a.c": "int a;\n"})
        self.finds(sources.check_format, {"core/base/a.c": "int   a ;\n"}, "not formatted")

    def test_deps(self):
        self.clean(sources.check_deps, {"core/grant/a.c": '#include "http/http.h"\n#include "grant/grant_int.h"\n'})
        for name, line, text in (
                ("core/base/a.c", '#include "http/http.h"', "may not use room http"),
                ("core/rpc/a.c", '#include "portal/portal.h"', "may not use room portal"),
                ("core/grant/a.c", '#include "http/http_int.h"', "private to room http"),
                ("tests/unit/grant/a.c", '#include "http/http_int.h"', "private to room http"),
                ("core/novel/a.c", '#include "http/http.h"', "on no floor"),
                ("platforms/meta/meta.c", '#include "base/mem.h"', "only <grantd/...>"),
                ("platforms/meta/meta.c", "#include <curl/curl.h>", "only <grantd/...>"),
                ("include/grantd/x.h", "#include <uv.h>", "only the C library"),
                ("tools/grantctl/a.c", '#include "store/store.h"', "may not use room store")):
            self.finds(sources.check_deps, {name: line + "\n"}, text)
        self.clean(sources.check_deps, {"core/base/a.c": '#include "http/http.h" /* check:allow for a reason */\n'})

    def test_banned(self):
        self.clean(sources.check_banned, {"core/base/a.c": '/* strcpy( */ char *s = "strcpy(a)"; x->rand(1);\n'})
        for name, line, text in (
                ("core/base/a.c", "strcpy(a, b);", "strcpy is banned"),
                ("tests/unit/base/a.c", "strcat(a, b);", "strcat is banned"),
                ("core/grant/a.c", "p = malloc(1);", "gd_new"),
                ("core/grant/a.c", "json_loads(a, 0, 0);", "gd_json_parse"),
                ("core/grant/a.c", "curl_easy_init();", "egress guard"),
                ("core/crypto/a.c", "memcmp(a, b, 3);", "gd_same_bytes"),
                ("core/portal/a.c", "memcmp(link_secret, b, 3);", "gd_same_bytes")):
            self.finds(sources.check_banned, {name: line + "\n"}, text)
        self.clean(sources.check_banned, {"core/portal/a.c": "memcmp(word, b, 3);\n"})
        self.clean(sources.check_banned, {"core/base/a.c": "getenv(x); /* check:allow once, before threads */\n"})

    def test_sql_needs_its_script(self):
        self.finds(sources.check_sql, {"core/base/a.c": ""}, "missing")
        tree = self.plant({"tools/check/sql": "#!/bin/sh\necho a.c:1: bad statement\nexit 1\n"})
        os.chmod(os.path.join(self.root, "tools/check/sql"), 0o755)
        self.assertEqual(sources.check_sql(tree), ["a.c:1: bad statement"])

    def test_bare_keeps_lines(self):
        text = 'a /* x\n y */ b "c\\"{" d // e\nf\n'
        self.assertEqual(bare(text).count("\n"), text.count("\n"))
        self.assertNotIn("{", bare(text))


class Shape(Planted):
    LONG = "static int f(void)\n{\n" + "    x();\n" * 120 + "}\n"

    def test_functions_are_found(self):
        text = ("#define M(a) { a }\nstatic const struct s t[] = { { 1 }, };\nint f(int a,\n      int b)\n{\n    if (a) {\n"
                "    }\n    return 1;\n}\nstatic inline void g(void)\n{\n}\n")
        self.assertEqual(shape.functions(text), [("f", 3, 9, False), ("g", 10, 12, True)])

    def test_long_function_and_its_waiver(self):
        self.clean(shape.check_shape, {"core/base/a.c": "static int f(void)\n{\n    x();\n}\n"})
        self.finds(shape.check_shape, {"core/base/a.c": self.LONG}, "f has 123 lines")
        self.clean(shape.check_shape, {"core/base/a.c": "/* check:allow one table */\n" + self.LONG})

    def test_long_file(self):
        self.finds(shape.check_shape, {"core/base/a.c": "/* a */\n" + "int x;\n" * 1001}, "split it")

    def many(self, body, lead="static "):
        return {"core/base/a.c": "".join(f"{lead}int f{i}(void)\n{{\n{body}}}\n" for i in range(50))}

    def test_distribution(self):
        self.clean(shape.check_shape, self.many("    x();\n"))
        self.finds(shape.check_shape, self.many("    x();\n" * 14), "median")
        self.finds(shape.check_shape, self.many("    goto out;\n"), "gotos")
        self.finds(shape.check_shape, self.many("    x();\n", ""), "are static")

    def test_headers(self):
        self.clean(shape.check_headers, {"core/base/a.h": "/* a.h - says it. */\nint a(void); /* does a */\n"})
        self.finds(shape.check_headers, {"core/base/a.h": "int a(void);\n"}, "what it is for")
        self.finds(shape.check_headers, {"core/base/a.h": "/* a */\n" + "int a(void);\n" * 9}, "carry a comment")


class Tables(Planted):
    def files(self, table, code="GD_R_OK"):
        return {"core/base/reasons.def": table, "core/base/a.c": f"int x = {code};\n"}

    def test_reasons(self):
        self.clean(tables.check_reasons, self.files(REASONS))
        self.finds(tables.check_reasons, self.files(REASONS + REASONS), "already on line")
        self.finds(tables.check_reasons, self.files(REASONS, "GD_R_OK + GD_R_NEVER"), "GD_R_NEVER is not in")
        self.finds(tables.check_reasons, self.files(REASONS, "0"), "OK is used nowhere")
        self.finds(tables.check_reasons, self.files(REASONS.replace("OK, OK", "OK, NOBODY")), "none of")
        self.finds(tables.check_reasons, self.files(REASONS.replace("worked.", "worked")), "sentences")
        self.finds(tables.check_reasons, self.files("GD_REASON(OK)\n"), "not GD_REASON")

    def test_shown(self):
        one = REASONS.replace("GD_REASON(OK", "GD_REASON(WORD_7")
        self.finds(tables.check_shown, self.files(one), "WORD_7 is named by no test")
        self.clean(tables.check_shown, {**self.files(one), "tests/unit/a.c": "assert(r == GD_R_WORD_7);"})

    def test_limits(self):
        files = {"core/base/limits.h": "#define GD_A_MAX 1\n", "core/base/a.c": "int a[GD_A_MAX];\n"}
        self.clean(tables.check_limits, files)
        self.finds(tables.check_limits, {**files, "core/base/a.c": "int a;\n"}, "GD_A_MAX limits nothing")


class Tracked(Planted):
    def test_tracked(self):
        self.clean(tracked.check_tracked, {"a.txt": "see https://example.org/ and core/base\n"})
        self.finds(tracked.check_tracked, {"a.txt": "/wo" + "rk/x/y\n"}, "path of one machine")
        self.finds(tracked.check_tracked, {"a.txt": "https://regis" + "try.example.org/x\n"}, "package registry")
        self.finds(tracked.check_tracked, {"a.bin": b"\x7fELF\0"}, "a binary file")
        self.finds(tracked.check_tracked, {"a.txt": "x" * (1 << 21)}, "the limit is")

    def test_links(self):
        tree = self.plant({"a.txt": "x"})
        os.symlink("a.txt", os.path.join(self.root, "b.txt"))
        tree.files.append("b.txt")
        self.assertTrue(any("symbolic link" in one for one in tracked.check_tracked(tree)))

    def test_locks(self):
        lock = '{"packages": {"": {}, "node_modules/a": {"integrity": "sha512-x"%s}}}'
        self.clean(tracked.check_locks, {"t/package-lock.json": lock % ""})
        self.finds(tracked.check_locks, {"t/package-lock.json": lock % ', "resolved": "x"'}, "download address")
        self.finds(tracked.check_locks, {"t/package-lock.json": '{"packages": {"node_modules/a": {}}}'}, "not pinned")

    def test_readme(self):
        self.clean(tracked.check_readme, {"README.md": "see tools/x and core/base/\n", "tools/x": "", "core/base/a": ""})
        self.finds(tracked.check_readme, {"README.md": "see tools/y\n"}, "does not exist")
        self.finds(tracked.check_readme, {"README.md": "x\n" * 201}, "the limit is 200")
        self.finds(tracked.check_readme, {"a": ""}, "missing")


class Artefacts(Planted):
    """Built with the compiler of the machine, once as it should be and once not."""

    HARD = ["-fPIE", "-pie", "-fvisibility=hidden", "-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code"]

    def build(self, output, text, *flags):
        source = os.path.join(self.root, "x.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        path = os.path.join(self.root, output)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        subprocess.run(["cc", "-o", path, source, *flags], check=True, stderr=subprocess.PIPE)
        return path

    def test_programs(self):
        good = self.build("grantd", "int main(void) { return 0; }", *self.HARD)
        self.assertEqual((artefacts.hardening(good), artefacts.defined(good)), ([], set()))
        bad = self.build("bad", "int main(void) { return 0; }", "-no-pie", "-Wl,-z,norelro,-z,lazy,-z,execstack",
                         "-Wl,-rpath,/tmp,--disable-new-dtags")
        found = artefacts.hardening(bad)
        for text in ("position independent", "bound at start", "RELRO", "executable stack", "RPATH"):
            self.assertTrue(any(text in one for one in found), (text, found))
        loud = self.build("loud", "int shout(void) { return 1; } int main(void) { return 0; }", "-fPIE", "-pie",
                          "-rdynamic")
        self.assertIn("shout", artefacts.defined(loud))

    def test_platforms(self):
        hard = ["-shared", "-fPIC", "-Wl,-z,relro,-z,now,-z,defs"]
        good = self.build("platforms/a.so", "static const char *const words[] = { \"a\", \"b\" }; const struct { "
                          "const char *const *w; } grantd_platform_v1 = { words };", *hard)
        self.assertEqual(artefacts.platform_faults(good), [])
        bad = self.build("platforms/b.so", "const int grantd_platform_v1 = 1; int other; static int hidden = 4; "
                         "int *get(void) { hidden++; return &hidden; }", *hard)
        found = artefacts.platform_faults(bad)
        self.assertTrue(any("exports" in one for one in found) and any("writable" in one for one in found), found)

    def test_nothing_built_is_said(self):
        self.assertTrue(any("build first" in one for one in artefacts.check_artefacts(self.root)))


if __name__ == "__main__":
    unittest.main()
