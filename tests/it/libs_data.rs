//! `json` and `xml` as a script sees them.

use crate::support::lua::Stage;

/// Runs a script to the end of its top level, where every `assert` must hold.
fn holds(source: &str) {
    Stage::run(source).loaded().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn json_is_written_sorted_and_as_short_as_it_can_be() {
    holds(
        r#"
        local function is(value, expected, opts)
            local text = json.encode(value, opts)
            assert(text == expected, text)
        end
        is({ b = 1, a = { true, false, "x\n\"" }, c = json.null }, '{"a":[true,false,"x\\n\\""],"b":1,"c":null}')
        is({}, "{}")
        is(json.array({}), "[]")
        is({ a = json.array() }, '{"a":[]}')
        is(nil, "null")
        is(2 ^ 53, "9007199254740992")
        is(-3, "-3")
        is(0.1, "0.1")
        is(1e300, "1e+300")
        is(2 ^ 53 * 2, "1.8014398509481984e+16")
        is({ 1, json.null, 3 }, "[1,null,3]")
        is({ a = { 1 } }, '{\n  "a": [\n    1\n  ]\n}', { pretty = true })
        assert(tostring(json.null) == "null" and json.null ~= nil)
        "#,
    );
}

#[test]
fn json_comes_back_as_it_went() {
    holds(
        r#"
        for _, text in {
            '{"a":[],"b":{},"c":[null,1,[2]],"d":null,"e":"\\u0000ä"}', "[]", "null", "true", "-1.5",
            "0.1234567890123456", '""', "5e-324", "1.7976931348623157e308",
        } do
            local value, err = json.decode(text)
            assert(err == nil, tostring(err))
            local again = json.encode(value)
            assert(again == text or json.encode(json.decode(again)) == again and #text > 5, again)
        end
        local t = json.decode('{"list":[1,2],"none":null,"deep":{"x":1.5}}')
        assert(#t.list == 2 and t.none == json.null and t.deep.x == 1.5)
        table.remove(t.list) table.remove(t.list)
        assert(json.encode(t.list) == "[]", "a list that was emptied is still one")
        "#,
    );
}

#[test]
fn json_that_cannot_be_read_is_told_with_its_place() {
    holds(
        r#"
        local function fails(text, place, why)
            local value, err = json.decode(text)
            assert(value == nil and err.code == "parse" and err.op == "json.decode")
            assert(err.message == `json.decode: {place}: {why}`, err.message)
            return err
        end
        local err = fails('{\n  "a": tru\n}', "line 2, column 11", "expected ident")
        assert(err.line == 2 and err.column == 11)
        fails('["ä", x]', "line 1, column 7", "expected value")
        fails("[1,]", "line 1, column 4", "trailing comma")
        fails("1 2", "line 1, column 3", "trailing characters")
        fails("", "line 1, column 1", "EOF while parsing a value")
        fails("1e999", "line 1, column 5", "number out of range")
        fails(string.rep("[", 65) .. string.rep("]", 65), "line 1, column 66", "nested deeper than 64 levels")
        fails(string.rep("[", 1000000), "line 1, column 65", "nested deeper than 64 levels")
        fails(string.rep('{"a":', 1000000), "line 1, column 321", "nested deeper than 64 levels")
        local ok = json.decode(string.rep("[", 64) .. string.rep("]", 64))
        assert(type(ok) == "table")
        local value, err = json.decode('"' .. string.rep("x", 9 * 1024 * 1024) .. '"')
        assert(value == nil and err.code == "limit", tostring(err))
        -- Small as a text, large as a table.
        local value, err = json.decode("[" .. string.rep("[],", 200000) .. "[]]")
        assert(value == nil and err.code == "limit", tostring(err))
        "#,
    );
}

#[test]
fn json_refuses_what_it_cannot_say_and_names_the_place() {
    holds(
        r#"
        local function refuses(value, why)
            local ok, message = pcall(json.encode, value)
            assert(not ok and string.find(message, "json.encode: value: " .. why, 1, true), message)
        end
        refuses({ a = { b = { 1, print } } }, "a.b[2]: a function is not plain data")
        refuses({ x = 0 / 0 }, "x: JSON has no number NaN")
        refuses({ 1, 1 / 0 }, "[2]: JSON has no number inf")
        refuses({ 1, nil, 3 }, "a list has a hole at [2] and goes on at [3]; put json.null")
        refuses({ list = { [1000000] = 1 } }, "list: a list has a hole at [1]")
        refuses({ 1, name = 2 }, 'a list has a field "name" as well')
        refuses({ [1.5] = 1 }, "[1.5] is no place in a list")
        refuses({ t = "\255" }, "t: the text is not UTF-8 (byte 1)")
        refuses({ ["\255"] = 1 }, "a name is not UTF-8 (byte 1)")
        local cycle = { inner = {} } cycle.inner.outer = cycle
        refuses(cycle, "inner.outer: the table contains itself")
        local deep = {} for _ = 1, 64 do deep = { deep } end
        local ok, message = pcall(json.encode, deep)
        assert(not ok and string.find(message, "nested deeper than 64 levels", 1, true), message)
        local ok, message = pcall(json.encode, {}, { prety = true })
        assert(string.find(message, "json.encode: unknown option 'prety' (did you mean 'pretty'?)", 1, true), message)
        local ok, message = pcall(json.array, table.freeze({}))
        assert(string.find(message, "json.array: the table is read-only", 1, true), message)
        assert(not pcall(json.decode, 5) and not pcall(json.array, setmetatable({}, {})))
        "#,
    );
}

#[test]
fn misuse_of_a_library_is_raised_on_the_callers_line() {
    let mut stage = Stage::run("local x = 1\n\nxml.escape({})");
    let problem = stage.loaded().expect_err("misuse");
    let expected = "/test.lua:3: xml.escape: a table is not a text";
    assert!(problem.message.ends_with(expected), "{problem}");
}

#[test]
fn xml_is_read_into_plain_tables() {
    holds(
        r#"
        local root, err = xml.parse([=[<?xml version="1.0"?>
            <!-- a list -->
            <p:presence xmlns:p="urn:pidf" xmlns="urn:other" entity="sip:a&amp;b" p:x="1" xml:lang="de">
                <tuple id="1"><status> open </status><note>a&lt;<![CDATA[<b>]]>&#x20ac;</note></tuple>
                <tuple id="2"/>
                <other>mixed <b>bold</b> text</other>
            </p:presence>]=])
        assert(err == nil, tostring(err))
        assert(root.name == "presence" and root.namespace == "urn:pidf" and root.text == "")
        assert(root.attr.entity == "sip:a&b" and root.attr["p:x"] == "1" and root.attr["xml:lang"] == "de")
        assert(#root.children == 3 and root.children[1].namespace == "urn:other")
        local first = root.children[1]
        assert(first.attr.id == "1" and first.children[1].text == " open " and first.children[2].text == "a<<b>€")
        assert(root.children[2].text == "" and #root.children[2].children == 0)
        assert(root:find("other").text == "mixed  text")

        assert(root:find("tuple/note") == first.children[2] and root:find("tuple/none") == nil)
        local ids = {}
        for _, tuple in root:find_all("tuple") do table.insert(ids, tuple.attr.id) end
        assert(table.concat(ids, ",") == "1,2")
        assert(#root:find_all("*/*") == 3 and #root:find_all("tuple/*/x") == 0)
        local names = {}
        for name in pairs(first) do table.insert(names, name) end
        table.sort(names)
        assert(table.concat(names, " ") == "attr children name namespace text")
        assert(not pcall(function() root:find("tuple//note") end))
        assert(not pcall(function() root.find("tuple") end))
        assert(json.encode(root:find("tuple")):find('"name":"tuple"', 1, true))
        "#,
    );
}

#[test]
fn xml_that_cannot_be_read_is_told_with_its_place() {
    holds(
        r#"
        local function fails(text, place, why)
            local value, err = xml.parse(text)
            assert(value == nil and err.code == "parse", tostring(err))
            assert(err.message:find(`xml.parse: {place}: {why}`, 1, true) == 1, err.message)
        end
        fails("<a>\n  <b></c></a>", "line 2, column 6", "expected 'b' tag, not 'c'")
        fails("<a>&nbsp;</a>", "line 1, column 4", "unknown entity reference 'nbsp'")
        fails("<a>", "line 1, column 4", "the root node was opened but never closed")
        fails("", "line 1, column 1", "the document does not have a root node")
        fails("<a>\n\255</a>", "line 2, column 1", "the text is not UTF-8")
        fails("<a x='1' x='2'/>", "line 1, column 10", "attribute 'x' is already defined")
        fails("\n<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "line 2, column 1", "document type declarations")
        fails(string.rep("<a>", 350000), "line 1, column 193", "elements are nested deeper than 64 levels")
        fails(string.rep("<a>", 65) .. string.rep("</a>", 65), "line 1, column 193", "elements are nested")
        assert(xml.parse(string.rep("<a>", 64) .. string.rep("</a>", 64)))
        local many = {}
        for n = 1, 100000 do many[n] = ` a{n}=''` end
        fails(`<x>\n<a{table.concat(many)}/></x>`, "line 2, column 1", "an element has more than 256 attributes")
        local value, err = xml.parse("<a>" .. string.rep("<b/>", 200001) .. "</a>")
        assert(value == nil and err.code == "limit", tostring(err))
        local value, err = xml.parse(string.rep(" ", 9 * 1024 * 1024))
        assert(value == nil and err.code == "limit", tostring(err))
        "#,
    );
}

#[test]
fn xml_escapes_what_would_be_markup() {
    holds(
        r#"
        local text = [[<a href="x">'b' & c</a>]]
        assert(xml.escape(text) == "&lt;a href=&quot;x&quot;&gt;&apos;b&apos; &amp; c&lt;/a&gt;")
        assert(xml.parse(`<t v='{xml.escape(text)}'>{xml.escape(text)}</t>`).attr.v == text)
        assert(xml.escape(5) == "5" and xml.escape("ä") == "ä")
        local ok, message = pcall(xml.escape, "bell\7")
        assert(not ok and message:find("xml.escape: XML cannot hold the character U+0007 (byte 5)", 1, true), message)
        "#,
    );
}
