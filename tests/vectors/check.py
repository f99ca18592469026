"""Opens, checks and makes every vector of this folder from `docs/formats.md` alone.

A test, and no client: it shows that the texts are enough for another language. It needs Python 3.11 and PyPI's
`cryptography` (Ed25519, X25519, ML-KEM-768, AES-GCM); all else is written here from the texts and RFCs.
Run it as `python3 tests/vectors/check.py`; it names what differs and ends with 1.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from ristretto255 import GENERATOR, ORDER, decode, one_way_map
FOLDER = pathlib.Path(__file__).parent

def expand(message, tag, length=64):
    """expand_message_xmd with SHA-512 (RFC 9380 5.3.1)."""
    tag += bytes([len(tag)])
    first = hashlib.sha512(bytes(128) + message + length.to_bytes(2) + b"\0" + tag).digest()
    return hashlib.sha512(first + b"\1" + tag).digest()


def anchor_of(number):
    return one_way_map(expand(b"nl.bsn.v1\0" + number, b"HashToGroup-nPEPV1-ristretto255-SHA512"))


def hash_to_scalar(message, tag):
    return int.from_bytes(expand(message, tag), "little") % ORDER


def factor(secret, label, name):
    """docs/formats.md, factors: 1 rekeys a context, 3 reshuffles a domain."""
    message = len(secret).to_bytes(2) + secret + bytes([label]) + len(name).to_bytes(2) + name + b"\0"
    return hash_to_scalar(message, b"DeriveFactor-nPEPV1-ristretto255-SHA512")


def pseudonyms(values):
    anchor = anchor_of(b"123456782")
    reshuffle = factor(b"frozen-secret", 3, b"partner/uwv/1")
    pseudonym = (reshuffle * anchor).encode()
    beta = hash_to_scalar(b"sluis/1", b"sluis-beta-pseudonym-v1")
    share = 2 * factor(bytes([1] * 32), 1, b"ctx/00000099000000001000/main/1") % ORDER
    yield "factor", reshuffle.to_bytes(32, "little"), values["factor"]
    yield "anchor", anchor.encode(), values["anchor"]
    yield "pseudonym", pseudonym, values["pseudonym"]
    yield "first point", (beta * GENERATOR).encode(), values["first_point"]
    yield "commitment", (2 * GENERATOR).encode(), values["holder_commitment"]
    yield "share", share.to_bytes(32, "little"), values["share"]
    yield "share's commitment", (share * GENERATOR).encode(), values["share_commitment"]
    yield "step", (share * beta % ORDER * GENERATOR).encode(), values["step_point"]
    reference = b"\1" + (258).to_bytes(4) + (772).to_bytes(2) + pseudonym
    yield "reference", reference, values["pseudonym_ref"]


def encodings(vectors):
    for place, wanted in enumerate(vectors["multiples"], 1):
        yield f"multiple {place}", (place * GENERATOR).encode(), wanted
    for kind, wrong in vectors["invalid"].items():
        for octets in wrong:
            refused = decode(bytes.fromhex(octets)) is None
            yield kind, b"\1" if refused else b"\0", "01"


def signatures(values):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([3] * 32))
    yield "public key", raw(key.public_key()), values["public_key"]
    for paper, wanted in values["signatures"].items():
        yield paper, key.sign(b"sluis/" + paper.encode() + b"/v1\0" + b"paper"), wanted


def raw(key):
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def index(key, kind, value):
    return hmac.digest(key, len(kind).to_bytes(2) + kind + value, "sha256")


def tags(values):
    key = bytes([4] * 32)
    yield "tag", index(key, b"subject", b"value")[:16], values["tag"]
    yield "index", index(key, b"relation", b"value"), values["index"]
    key = index(key, b"year", (2026).to_bytes(4))
    yield "tag of a year", index(key, b"subject", b"value")[:16], values["tag_2026"]


def at_rest(values):
    sealed = bytes.fromhex(values["sealed"])
    number, nonce, rest = sealed[:4], sealed[4:16], sealed[16:]
    digest = hashlib.sha256(b"sluis/rest-key-number/v1\0" + bytes([6] * 32)).digest()
    yield "number of the key", digest[:4], number.hex()
    parts = b"".join(len(part).to_bytes(4) + part for part in (b"handover", bytes([5] * 16), b"body"))
    yield "at rest", AESGCM(bytes([6] * 32)).decrypt(nonce, rest, number + parts), values["value"]


def x_wing(seed):
    """The two halves of a seed and the public key: X-Wing draft, section 5.2."""
    expanded = hashlib.shake_256(seed).digest(96)
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    return lattice, curve, raw(lattice.public_key()) + raw(curve.public_key())


def open_encapsulation(seed, encapsulation):
    """X-Wing draft, section 5.4."""
    lattice, curve, public = x_wing(seed)
    ciphertext, other = encapsulation[:1088], encapsulation[1088:]
    first = lattice.decapsulate(ciphertext)
    second = curve.exchange(x25519.X25519PublicKey.from_public_bytes(other))
    return hashlib.sha3_256(first + second + other + public[1184:] + b"\\.//^\\").digest()


def exported(shared, info, context):
    """HPKE's key schedule in base mode and its export (RFC 9180 5.1 and 5.3) for 0x647a, 0x0001, 0xFFFF."""
    suite = b"HPKE" + bytes.fromhex("647a0001ffff")

    def extract(salt, label, key):
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + key, "sha256")

    def derive(key, label, text):
        message = (32).to_bytes(2) + b"HPKE-v1" + suite + label + text + b"\1"
        return hmac.digest(key, message, "sha256")

    schedule = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    return derive(derive(secret, b"exp", schedule), b"sec", context)


def unpad(padded):
    length = int.from_bytes(padded[:4])
    assert len(padded) % 256 == 0 and not any(padded[4 + length :])
    return padded[4 : 4 + length]


def fields(values):
    seed, handover, label = bytes([7] * 32), bytes([8] * 16), values["label"].encode()
    yield "sealing key", hashlib.sha256(x_wing(seed)[2]).digest(), values["sealing_key_sha256"]
    shared = open_encapsulation(seed, bytes.fromhex(values["encapsulation"]))
    key = exported(shared, (1).to_bytes(2) + handover + b"\2", label)
    place = len(label).to_bytes(2) + label + handover
    opened = AESGCM(key).decrypt(bytes(12), bytes.fromhex(values["sealed"]), place)
    yield "field", unpad(opened), values["value"]


def share(values):
    context, info = values["context"].encode(), b"sluis/context-share/v1\0"
    shared = open_encapsulation(bytes([7] * 32), bytes.fromhex(values["encapsulation"]))
    key = exported(shared, info + context, b"share")
    opened = unpad(AESGCM(key).decrypt(bytes(12), bytes.fromhex(values["sealed"]), context))
    yield "sealed share", opened, values["share"]
    of_context = factor(bytes([1] * 32), 1, context)
    yield "share", opened[:32], (2 * of_context % ORDER).to_bytes(32, "little").hex()
    yield "commitment to the factor", opened[32:64], (of_context * GENERATOR).encode().hex()


def ciphertext(values):
    octets = bytes.fromhex(values["ciphertext"])
    first, second = decode(octets[:32]), decode(octets[32:])
    anchor = anchor_of(b"123456782")
    yield "key", (9 * GENERATOR).encode(), values["public_key"]
    yield "decrypted", (second + -(9 * first)).encode(), values["pseudonym"]
    yield "is the anchor", anchor.encode(), values["pseudonym"]
    # Another encryption of the same: r·G, M + r·Y.
    again = anchor + 12345 * (9 * GENERATOR) + -(9 * (12345 * GENERATOR))
    yield "encrypted", again.encode(), values["pseudonym"]


def message(*fields):
    """Protobuf: fields in the order of their numbers; what is empty or zero is left out."""
    octets = b""
    for number, value in fields:
        for one in value if isinstance(value, list) else [value] if value else []:
            if isinstance(one, int):
                octets += varint(number << 3) + varint(one)
            else:
                one = one.encode() if isinstance(one, str) else one
                octets += varint(number << 3 | 2) + varint(len(one)) + one
    return octets


def varint(number):
    octets = b""
    while number > 127:
        octets, number = octets + bytes([number & 127 | 128]), number >> 7
    return octets + bytes([number])


def behind_length(text):
    octets = text.encode() if isinstance(text, str) else text
    return len(octets).to_bytes(8) + octets


UWV, GEMEENTE, BROKER = "00000099000000001000", "00000099000000002000", "00000099000000007000"


def papers(values):
    def sha256(octets):
        return hashlib.sha256(octets).digest()

    relation = f"rel/{UWV}/main/{GEMEENTE}/main/HANDOVER/1"
    source, context = f"partner/{UWV}/main/1", f"ctx/{UWV}/main/1"

    def order(kind, other, owner, parent):
        pairs = [(other, f"ctx/{owner}/main/1"), (relation, f"ctx/{BROKER}/main/1")]
        targets = [message((1, domain), (2, key)) for domain, key in pairs]
        head = [(1, 1), (2, bytes([kind] * 16)), (3, kind), (4, UWV), (5, "werkplein"), (6, source), (7, context)]
        end = [(9, "HANDOVER"), (10, sha256(b"x")), (11, 1000), (12, 121000), (13, parent)]
        return message(*head, (8, targets), *end)

    def manifest(stage, *end):
        pairs = [("a.b", b"one"), ("c", b"two")]
        sealed = [message((1, label), (2, sha256(value))) for label, value in pairs]
        head = [(1, 1), (2, bytes([7] * 16)), (3, stage), (4, f"{GEMEENTE}/main"), (5, "HANDOVER")]
        return message(*head, (6, bytes([1] * 32)), (7, sha256(b"encapsulation")), (8, sealed), *end)

    prepare = order(6, "portal/1", BROKER, b"")
    many = [[bytes([place] * 32) for place in pair] for pair in ((1, 2), (3, 4), (5, 6))]
    edge = b"".join(map(behind_length, (f"{UWV}/main", f"{GEMEENTE}/main", "HANDOVER")))
    edge += (1).to_bytes(8) + behind_length("35") + (1000).to_bytes(8) + (2000).to_bytes(8)
    made = {
        "order PREPARE": ("order", prepare),
        "order HANDOVER": ("order", order(7, f"partner/{GEMEENTE}/main/1", GEMEENTE, bytes([3] * 16))),
        "voucher": ("voucher", message(
            (1, 1), (2, bytes([6] * 16)), (3, sha256(prepare)), (4, 6), (5, source), (6, ["portal/1", relation]),
            (7, 2), (8, BROKER), (9, many[0]), (10, many[1]), (11, many[2]), (12, 5), (13, 2), (14, 7))),
        "manifest of an offer": ("manifest", manifest(1, (9, ["a.b"]))),
        "manifest of a release": ("manifest", manifest(2, (10, bytes([9] * 32)))),
        "context request": ("context-request", message(
            (1, 1), (2, context), (3, UWV), (4, "hoofd"), (5, bytes([4] * 32)), (6, 5))),
        "context step": ("context-step", message(
            (1, 1), (2, context), (3, 1), (4, BROKER), (5, bytes([1] * 32)), (6, bytes([2] * 32)),
            (7, bytes([3] * 32)), (8, bytes([4] * 224)), (9, 5))),
        "notice answer": ("notice-answer", message((1, 1), (2, bytes([1] * 16)), (3, 2), (4, "ARCHIEFWET"), (5, 5))),
        "edge": ("edge", edge),
        "edge with timers": ("edge", edge + b"".join(n.to_bytes(4) for n in (24, 10, 5, 14))),
        "sealing key": ("sealing-key", behind_length(f"{GEMEENTE}/main") + behind_length(bytes([7] * 1216))
                        + (2000).to_bytes(8)),
        "context share": ("context-share", context.encode() + b"\0" + bytes([1] * 1120) + bytes([2] * 272)),
        "manifest of a report": ("manifest", manifest(3)),
        "policy set": ("policy-bundle", b"".join(sorted(
            file + b"\0" + sha256(file).hex().encode() + b"\n" for file in (b"register.toml", b"guards.cedar")))),
        "directory": ("directory", b"version = 1\n\n# ---- part ----\na = 1\n".partition(b"\n# ---- part ----\n")[0]),
        "promise": ("promise", bytes([1] * 16) + bytes([2] * 32) + (5).to_bytes(8)),
    }
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([3] * 32))
    for name, wanted in values.items():
        paper, octets = made.get(name, ("", b""))
        yield name, octets, wanted["bytes"]
        yield f"{name}, signed", key.sign(b"sluis/" + paper.encode() + b"/v1\0" + octets), wanted["signature"]


def statement(values):
    """RFC 8785 is what `json` writes here: only ASCII keys, no fractions."""

    def base64url(octets):
        return base64.urlsafe_b64encode(octets).rstrip(b"=")

    def canonical(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    payload = canonical(values["members"])
    header = {"alg": "EdDSA", "kid": f"{BROKER}/portal", "typ": "consent-receipt+jwt"}
    signed = base64url(canonical(header)) + b"." + base64url(payload)
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([3] * 32))
    yield "payload", payload, values["payload"].encode().hex()
    yield "jws", signed + b"." + base64url(key.sign(signed)), values["jws"].encode().hex()


FILES = {
    "rfc9496": encodings, "pseudonym": pseudonyms, "sign": signatures, "index": tags, "rest": at_rest,
    "sealing": fields, "ciphertext": ciphertext, "share": share, "papers": papers, "statement": statement,
}


def main():
    checked, wrong = 0, []
    for name, check in FILES.items():
        file = json.loads((FOLDER / f"{name}.json").read_text())
        for what, made, wanted in check(file.get("values", file)):
            checked += 1
            if made.hex() != wanted:
                wrong.append(f"{name}.json: {what} differs: {made.hex()}")
    unknown = {path.stem for path in FOLDER.glob("*.json")} - set(FILES)
    wrong += [f"{name}.json is checked by nothing here" for name in sorted(unknown)]
    print("\n".join(wrong) or f"{checked} values of {len(FILES)} files are as the texts say")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
