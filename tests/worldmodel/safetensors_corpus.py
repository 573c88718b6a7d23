#!/usr/bin/env python3
"""Writes safetensors_corpus.txt: headers and what the official `safetensors` package says of them.

Run: python3 safetensors_corpus.py > safetensors_corpus.txt   (pip install safetensors)

A line is VERDICT LENGTH ROOM BYTES. VERDICT: load, refuse, or ours where the package loads what we
refuse: names that occur twice or hold a NUL. LENGTH: the header's length as the file has it, "-"
for that of BYTES, "raw" where BYTES are the whole file. ROOM: zero bytes of data behind the
header. BYTES: printable ASCII as it is, %XX for another byte, %<N*TEXT> for N times TEXT."""

import re
import struct

import safetensors


def entry(name="a", dtype='"F32"', shape="[1]", offsets="[0,4]", more=""):
    return f'"{name}":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}{more}}}'


def top(*entries):
    return "{" + ",".join(entries) + "}"


def unpack(text):
    out, at = b"", 0
    while at < len(text):
        times = re.compile(r"%<(\d+)\*([^>]*)>").match(text, at)
        if times:
            out += unpack(times[2]) * int(times[1])
            at = times.end()
        elif text[at] == "%":
            out += bytes.fromhex(text[at + 1:at + 3])
            at += 3
        else:
            out += text[at].encode()
            at += 1
    return out


def pack(text):
    """Escapes what a line cannot hold; a % is meant as unpack reads it."""
    return "".join(c if " " < c < "\x7f" else "".join(f"%{b:02x}" for b in c.encode()) for c in text)


cases = []


def add(header, room=4, length="-"):
    cases.append((pack(header), room, length))


def twice(header, room=4):
    cases.append((pack(header), room, "ours"))


# ---- the frame: lengths, white space, what stands behind ----
add(top(entry()))
add("", 0)
for n in range(8):
    add("%00" * n, 0, "raw")
add("%00" * 8, 0, "raw")
add("%ff" * 8, 0, "raw")
for length in (1, 2, 3, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
    add("{}", 0, length)
for text in (" ", "\n", "\t\r\n "):
    add(text + top(entry()))
    add(top(entry()) + text)
add("{ " + entry().replace(":", " : ").replace(",", "\n,\t") + " }")
add("{}", 0)
add("{}%<99999998*%20>", 0)
add("{}%<99999999*%20>", 0)
for bad in ("\ufeff", "%ff%fe", "%00", "%0b", "%0c", "\u00a0", "x", ","):
    add(bad + top(entry()))
for bad in ("%00", "%00%00", "x", "{}", ",", "//x", "%0c", "]", "}", "\u00a0"):
    add(top(entry()) + bad)
for value in ("[]", "null", '"a"', "1", "true", "[" + top(entry()) + "]", "nul", "{", "}", "{]", "{,}"):
    add(value, 0)
for room in (0, 3, 5, 8):
    add(top(entry()), room)
add("{}", 1)

# ---- white space and punctuation inside ----
add(top(entry())[:-1] + ",}")
add("{," + entry() + "}")
add("{" + entry("a") + " " + entry("b", offsets="[4,8]") + "}", 8)
for shape in ("[1,]", "[,1]", "[1 1]", "[1", "[1}", "(1)", "[1;1]", "[1]]"):
    add(top(entry(shape=shape)))
add(top(entry()).replace('"dtype"', "dtype"))
add(top(entry()).replace('"', "'"))
add(top(entry()).replace(":", "=", 1))
add(top(entry()).replace(":", "::", 1))
add(top(entry())[:-1])

# ---- names ----
for name in ("", "a b", "a\\nb", "a\\tb\\r\\b\\f", '\\"', "\\\\", "a\\/b", "\\u0041", "\\uABcd", "\\u001b[31m",
             "\u00e9\u20ac\U0001f600", "\\ud83d\\ude00", "\\uD83D\\uDE00", "%7f", "\\u007f", "%c2%9b",
             "%ef%bf%bf", "%f4%8f%bf%bf", "%ed%9f%bf", "%ee%80%80", "%df%bf", "%<300*n>", "%<5000*n>",
             "%<90000*%c3%a9>", "\\u2028", "%e2%80%ae", "weight:0", "__metadata", "__metadata__ ",
             "\\\\u0000", "\\uffff", "\\ufeff"):
    add(top(entry(name)))
for name in ("%09", "%0a", "%1f", "%00", "\\x41", "\\a", "\\'", "\\u12", "\\u12g4", "\\u", "\\", "\\U0041",
             "\\ud83d", "\\ude00", "\\ud83da", "\\ud83d\\ud83d", "\\ud83d\\n", "\\ud83d\\u0041", "\\ude00\\ud83d",
             "\\udfff", "\\u+041", "\\u 041", "%80", "%bf", "%c0%80", "%c1%bf", "%e0%80%80", "%e0%9f%bf",
             "%ed%a0%80", "%ed%bf%bf", "%f0%80%80%80", "%f0%8f%bf%bf", "%f4%90%80%80", "%f5%80%80%80", "%ff",
             "%fe", "%e2%82", "%c3", "%c3(", "%f0%9f%98", "%f8%88%80%80%80"):
    add(top(entry(name)))
twice(top(entry("\\u0000")))
twice(top(entry("a\\u0000b")))
twice(top(entry("a\\u0000"), entry("a", offsets="[4,8]")), 8)
twice(top(entry(), entry()))
twice(top(entry(), entry("b", offsets="[4,8]"), entry("\\u0061")), 8)
add(top(entry(), entry("b", offsets="[4,8]"), entry(offsets="[8,12]")), 12)
add("{" + entry())
add('{"a', 0)
add('{"a"', 0)
add('{"a":', 0)
add('{null:1}', 0)

# ---- an entry's members ----
add('{"a":{"shape":[1],"data_offsets":[0,4]}}')
add('{"a":{"dtype":"F32","data_offsets":[0,4]}}')
add('{"a":{"dtype":"F32","shape":[1]}}')
add('{"a":{"data_offsets":[0,4],"shape":[1],"dtype":"F32"}}')
add('{"a":{"\\u0064type":"F32","shape":[1],"data_offsets":[0,4]}}')
add('{"a":{"Dtype":"F32","shape":[1],"data_offsets":[0,4]}}')
add('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}')
add('{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}')
for value in ("{}", "[]", "null", "3", '"F32"', "true"):
    add('{"a":' + value + "}", 0)
add('{"a":["F32",[1],[0,4]]}')
add('{"a":["F32",[1]]}')
add('{"a":["F32",[1],[0,4],1]}')
add('{"a":[[1],"F32",[0,4]]}')
for x in ("1", "null", "false", "[1,{}]", '{"y":[null,1.5e3]}', '"\\u0041"', "-0", "1e308", "0e999", "1e-999",
          "0.5", "1E+2", "12345678901234567890123", "%<125*[>%<125*]>", '"\\u0000"', "%<308*9>"):
    add(top(entry(more=',"x":' + x)))
for x in ("01", "-01", "+1", "1.", ".5", "-", "1e", "1e+", "1.e1", "0x10", "NaN", "Infinity", "-Infinity", "1e999",
          "-1e999", "1.8e308", "%<309*9>", "nul", "True", "tru", "undefined", "1_0", '"%01"', '"\\ud83d"', '"%ff"', "'1'",
          "%<126*[>%<126*]>", "%<100000*[>", "[1", '{"y":1', '{"y"}', '{"y":1,}', '"', "", "1 2"):
    add(top(entry(more=',"x":' + x)))
add(top(entry(more=',"\\ude00":1')))
twice(top(entry(more=',"x":1,"x":2')))
twice(top(entry(more=',"x":{"y":1,"y":2}')))
twice(top(entry(more=',"\\u0000":1')))

# ---- dtypes ----
for dtype, shape, room in (
        ("BOOL", "[3]", 3), ("F4", "[2]", 1), ("F4", "[1]", 1), ("F4", "[3]", 2), ("F4", "[3]", 1), ("F4", "[]", 1),
        ("F4", "[0]", 0), ("F4", "[2,3]", 3), ("F6_E2M3", "[4]", 3), ("F6_E3M2", "[2,2]", 3), ("F6_E2M3", "[3]", 3),
        ("F6_E2M3", "[1]", 1), ("U8", "[1]", 1), ("I8", "[1]", 1), ("F8_E5M2", "[1]", 1), ("F8_E4M3", "[1]", 1),
        ("F8_E8M0", "[1]", 1), ("F8_E4M3FNUZ", "[1]", 1), ("F8_E5M2FNUZ", "[1]", 1), ("I16", "[1]", 2), ("U16", "[1]", 2),
        ("F16", "[1]", 2), ("BF16", "[1]", 2), ("I32", "[1]", 4), ("U32", "[1]", 4), ("F32", "[2]", 8), ("C64", "[1]", 8),
        ("F64", "[1]", 8), ("I64", "[1]", 8), ("U64", "[1]", 8), ("F33", "[1]", 4), ("f32", "[1]", 4), ("F32 ", "[1]", 4),
        ("", "[1]", 4), ("C128", "[1]", 16), ("I4", "[2]", 1), ("F8", "[1]", 1), ("F8_E4M3FN", "[1]", 1), ("Float", "[1]", 4),
        ("F\\u00332", "[1]", 4), ("F32\\u0000", "[1]", 4), ("F64", "[1]", 4), ("F16", "[1]", 4)):
    add(top(entry(dtype=f'"{dtype}"', shape=shape, offsets=f"[0,{room}]")), room)
for dtype in ("null", "7", "true", "[]", '["F32"]', "{}", '{"F32":null}', '{"F32":{}}', '{"F32":1}', '{"X":null}',
              '{"F32":null,"F16":null}'):
    add(top(entry(dtype=dtype)))

# ---- shapes ----
for shape, room in (
        ("[]", 4), ("[]", 0), ("[1]", 4), ("[1,1]", 4), ("[0]", 0), ("[0]", 4), ("[0,0]", 0), ("[2,0,3]", 0), ("[3]", 8),
        ("[1,1,1,1,1,1,1,1,1]", 4), ("[%<99*1,>1]", 4), ("[-1]", 4), ("[-0]", 0), ("[0.0]", 0), ("[1.0]", 4), ("[1e0]", 4),
        ("[10e-1]", 4), ("[01]", 4), ("[+1]", 4), ("[1.5]", 4), ("[null]", 4), ('["1"]', 4), ("[[1]]", 4), ("[true]", 4), ("[{}]", 4),
        ("null", 4), ("1", 4), ("{}", 4), ('"1"', 4), ("[0,9007199254740993]", 0), ("[9007199254740993]", 0), ("[9007199254740993]", 4),
        ("[0,18446744073709551615]", 0), ("[18446744073709551615,0]", 0), ("[0,18446744073709551616]", 0), ("[18446744073709551617]", 4),
        ("[2147483648,2147483648,4]", 0), ("[4294967296,4294967296]", 0), ("[4294967296,4294967296,0]", 0),
        ("[0,4294967296,4294967296]", 0), ("[4611686018427387904]", 0), ("[4611686018427387905]", 4), ("[1e400]", 4)):
    add(top(entry(shape=shape, offsets=f"[0,{room}]")), room)

# ---- offsets ----
for offsets, room in (
        ("[0]", 4), ("[]", 4), ("[0,4,4]", 4), ("null", 4), ('"04"', 4), ('{"0":0,"1":4}', 4), ("[[0],[4]]", 4), ("[null,4]", 4), ("[true,4]", 4),
        ('["0","4"]', 4), ("[-0,4]", 4), ("[-4,0]", 4), ("[0,4.0]", 4), ("[0,4e0]", 4), ("[0.0,4]", 4), ("[00,4]", 4), ("[0,04]", 4), ("[4,0]", 4),
        ("[4,8]", 8), ("[0,8]", 8), ("[0,3]", 4), ("[0,5]", 5), ("[1,5]", 5), ("[0,1e30]", 4), ("[0,18446744073709551620]", 4),
        ("[18446744073709551616,18446744073709551620]", 4), ("[18446744073709551612,0]", 4), ("[9223372036854775808,9223372036854775812]", 4),
        ("[9007199254740993,9007199254740997]", 4), ("[0,4294967300]", 4)):
    add(top(entry(offsets=offsets)), room)
add(top(entry("a", offsets="[4,8]"), entry("b")), 8)
add(top(entry("a"), entry("b")), 4)
add(top(entry("a"), entry("b", offsets="[8,12]")), 12)
add(top(entry("a"), entry("b", offsets="[3,7]")), 7)
add(top(entry("a", shape="[2]", offsets="[0,8]"), entry("b", shape="[2]", offsets="[4,12]")), 12)
add(top(entry("a"), entry("z", shape="[0]", offsets="[4,4]"), entry("b", offsets="[4,8]")), 8)
add(top(entry("z", shape="[0]", offsets="[0,0]"), entry("a")), 4)
add(top(entry("a"), entry("z", shape="[0]", offsets="[0,0]")), 4)
add(top(entry("a"), entry("z", shape="[0]", offsets="[4,4]")), 4)
add(top(entry("a"), entry("z", shape="[0]", offsets="[2,2]")), 4)
add(top(entry("a"), entry("z", shape="[0]", offsets="[5,5]")), 4)
add(top(entry("z", shape="[0]", offsets="[1,1]")), 1)
add(top(entry("y", shape="[0]", offsets="[0,0]"), entry("z", shape="[0]", offsets="[0,0]")), 0)

# ---- metadata ----
for value in ("{}", "null", '{"k":"v"}', '{"":""}', '{"k":"\\u0000"}', '{"k":"%<2000*v>"}', "{" + ",".join(f'"k{i}":"v"' for i in range(40)) + "}"):
    add('{"__metadata__":' + value + "}", 0)
for value in ("[]", '["k"]', '"k"', "1", "true", '{"k":1}', '{"k":null}', '{"k":{}}', '{"k":["v"]}', '{"k":"%01"}', '{"k":"\\ud800"}'):
    add('{"__metadata__":' + value + "}", 0)
add('{"__met\\u0061data__":{"k":"v"}}', 0)
add('{"__metadata__":{},"__metadata__":{}}', 0)
twice('{"__metadata__":{"k":"v","k":"w"}}', 0)
twice('{"__metadata__":{"k\\u0000":"v"}}', 0)
add(top('"__metadata__":{"format":"pt"}', entry()))
add(top(entry(), '"__metadata__":{"format":"pt"}'))
add(top('"__metadata__":' + entry()[4:]))
add('{"__METADATA__":{"k":"v"}}', 0)

for text, room, length in dict.fromkeys(cases):
    data = unpack(text)
    declared = length if isinstance(length, int) else len(data)
    try:
        safetensors.deserialize(data if length == "raw" else struct.pack("<Q", declared) + data + bytes(room))
        verdict = "ours" if length == "ours" else "load"
    except safetensors.SafetensorError:
        verdict = "refuse"
        assert length != "ours", text
    print(verdict, "-" if length == "ours" else length, room, text, sep=" ")
