"""ristretto255 as RFC 9496 has it, for `check.py`; where there is a library with it, such as libsodium, take that.

Must never be used for anything but checking vectors: it takes no care of time.
"""

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def magnitude(x):
    """The one of x and -x that is not negative, which is even: RFC 9496 3.1."""
    x %= P
    return P - x if x & 1 else x


def sqrt_ratio(u, v):
    """(was square, the root of u/v that is not negative): RFC 9496 4.2."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    if check in (-u % P, -u * SQRT_M1 % P):
        r = r * SQRT_M1 % P
    return check in (u % P, -u % P), magnitude(r)


INVSQRT_A_MINUS_D = sqrt_ratio(1, (-1 - D) % P)[1]
# The RFC has the negative one of the two roots.
SQRT_AD_MINUS_ONE = P - sqrt_ratio((-D - 1) % P, 1)[1]
ONE_MINUS_D_SQ, D_MINUS_ONE_SQ = (1 - D * D) % P, (D - 1) ** 2 % P


class Point:
    """An element, in the extended coordinates of edwards25519."""

    def __init__(self, x, y, z=1, t=None):
        self.x, self.y, self.z, self.t = x % P, y % P, z % P, (x * y if t is None else t) % P

    def __add__(self, other):
        a = (self.y - self.x) * (other.y - other.x)
        b = (self.y + self.x) * (other.y + other.x)
        c, d = 2 * D * self.t * other.t, 2 * self.z * other.z
        e, f, g, h = b - a, d - c, d + c, b + a
        return Point(e * f, g * h, f * g, e * h)

    def __neg__(self):
        return Point(-self.x, self.y, self.z, -self.t)

    def __rmul__(self, scalar):
        result, double = Point(0, 1), self
        while scalar:
            if scalar & 1:
                result += double
            double, scalar = double + double, scalar >> 1
        return result

    def encode(self):
        """RFC 9496 4.3.2."""
        u1, u2 = (self.z + self.y) * (self.z - self.y) % P, self.x * self.y % P
        inverse = sqrt_ratio(1, u1 * u2 * u2 % P)[1]
        den1, den2 = inverse * u1 % P, inverse * u2 % P
        z_inverse = den1 * den2 * self.t % P
        x, y, den = self.x, self.y, den2
        if self.t * z_inverse % P & 1:
            x, y, den = self.y * SQRT_M1 % P, self.x * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
        if x * z_inverse % P & 1:
            y = -y % P
        return magnitude(den * (self.z - y)).to_bytes(32, "little")


def decode(octets):
    """RFC 9496 4.3.1; None for what is no canonical encoding, and for the identity, which nothing here may be."""
    s = int.from_bytes(octets, "little")
    if len(octets) != 32 or s >= P or s & 1:
        return None
    u1, u2 = (1 - s * s) % P, (1 + s * s) % P
    v = (-D * u1 * u1 - u2 * u2) % P
    square, inverse = sqrt_ratio(1, v * u2 * u2 % P)
    x = magnitude(2 * s * inverse * u2)
    y = u1 * inverse * inverse * u2 * v % P
    if not square or x * y % P & 1 or y == 0 or s == 0:
        return None
    return Point(x, y)


def one_way_map(octets):
    """RFC 9496 4.3.4: 64 octets to an element."""

    def half(part):
        t = int.from_bytes(part, "little") % 2**255 % P
        r = SQRT_M1 * t * t % P
        u, v = (r + 1) * ONE_MINUS_D_SQ % P, (-1 - r * D) * (r + D) % P
        square, s = sqrt_ratio(u, v)
        s, c = (s, P - 1) if square else (-magnitude(s * t) % P, r)
        n = (c * (r - 1) * D_MINUS_ONE_SQ - v) % P
        w0, w1 = 2 * s * v % P, n * SQRT_AD_MINUS_ONE % P
        w2, w3 = (1 - s * s) % P, (1 + s * s) % P
        return Point(w0 * w3, w2 * w1, w1 * w3, w0 * w2)

    return half(octets[:32]) + half(octets[32:])


GENERATOR = decode(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))
