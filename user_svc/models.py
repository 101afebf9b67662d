"""The tables of the user service."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint
from tortoise.models import Model


class User(Model):
    """A user. While `state` is OPENING the point account may not exist yet, and nobody can sign in."""

    id = fields.BigIntField(primary_key=True)
    request_id = fields.CharField(
        max_length=36, null=True, unique=True, description="The sign-up that made this user"
    )
    email = fields.CharField(max_length=254, description="As its owner writes it")
    email_key = fields.CharField(max_length=254, unique=True, description="As it is compared")
    name = fields.CharField(max_length=100)
    address = fields.CharField(max_length=300)
    password_hash = fields.CharField(max_length=255)
    role = fields.CharField(
        max_length=16,
        default="customer",
        description="admin if that is among the roles, else customer: what finds and holds the admins",
    )
    roles = fields.CharField(max_length=100, default="customer", description="All roles, by comma")
    email_proven_at = fields.DatetimeField(null=True, description="When its owner was last seen to read it")
    generation = fields.IntField(
        default=0, description="Access tokens of an earlier one do not count any more"
    )
    state = fields.CharField(max_length=16, description="OPENING or ACTIVE")
    created_at = fields.DatetimeField()
    due_at = fields.DatetimeField(null=True, description="When an OPENING sign-up is taken up again")

    class Meta:
        table = "users"
        indexes = (Index(fields=("due_at",)), Index(fields=("role",)))
        constraints = (
            CheckConstraint(
                name="an_opening_user_is_due", check="`state` <> 'OPENING' OR `due_at` IS NOT NULL"
            ),
        )


class SignInSession(Model):
    """A sign-in, alive until it is ended or not renewed in time. It holds hashes of refresh tokens.

    The token after a used one follows from the used one itself and `successor_salt`: whoever presents it
    again gets the same, and whoever reads this table can work out neither.
    """

    id = fields.CharField(max_length=36, primary_key=True)
    user_id = fields.BigIntField()
    secret_hash = fields.CharField(max_length=64)
    previous_hash = fields.CharField(max_length=64, null=True)
    rotated_by = fields.CharField(
        max_length=36, null=True, description="The request that used the previous one"
    )
    rotated_at = fields.DatetimeField(null=True, description="When the previous one was used")
    successor_salt = fields.CharField(max_length=64, null=True)
    client = fields.CharField(max_length=64, default="", description="The address that it was begun from")
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField()
    used_at = fields.DatetimeField(null=True, description="When it was last renewed")

    class Meta:
        table = "sessions"
        indexes = (Index(fields=("expires_at",)), Index(fields=("user_id",)))


class Mailing(Model):
    """A letter about an account that somebody asked for, with a one-time token or without.

    It is written down alike whether there is such an account or not: who sends it looks. Once that is done
    the address goes; the rest stays for an hour, for letters are counted.
    """

    id = fields.BigIntField(primary_key=True)
    kind = fields.CharField(max_length=10, description="See `domain.MailingKind`")
    email = fields.CharField(max_length=254, description="To whom; empty once it is done")
    address_hash = fields.CharField(max_length=64)
    client = fields.CharField(max_length=64, description="The address that it was asked for from")
    user_id = fields.BigIntField(null=True, description="Whose new address, or old one, it is")
    due_at = fields.DatetimeField(null=True, description="The next try; none once it is done or given up")
    attempts = fields.IntField(default=0)
    created_at = fields.DatetimeField()

    class Meta:
        table = "mailings"
        indexes = (
            Index(fields=("due_at",)),
            Index(fields=("address_hash", "created_at")),
            Index(fields=("client", "created_at")),
            Index(fields=("created_at",)),
            Index(fields=("user_id",)),
        )


class MailedToken(Model):
    """A one-time token that was mailed; of the token itself only a hash is kept."""

    id = fields.CharField(max_length=64, primary_key=True, description="SHA-256 of the token")
    user_id = fields.BigIntField()
    kind = fields.CharField(max_length=10)
    email = fields.CharField(max_length=254, description="The address that it was sent to")
    expires_at = fields.DatetimeField()

    class Meta:
        table = "mailed_tokens"
        indexes = (Index(fields=("user_id",)), Index(fields=("expires_at",)))


class Erasure(Model):
    """An account that its owner has deleted, and when."""

    user_id = fields.BigIntField(primary_key=True, generated=False)
    asked_at = fields.DatetimeField()
    again_at = fields.DatetimeField(null=True, description="When it is told a second time; none once it was")

    class Meta:
        table = "erasures"
        indexes = (Index(fields=("again_at",)),)


class EndedTokens(Model):
    """Access tokens that do not count any more, until they would have expired anyway.

    Those of one sign-in, or, without one, all of the user's of a generation before `below`.
    """

    id = fields.BigIntField(primary_key=True)
    user_id = fields.BigIntField()
    session_id = fields.CharField(max_length=36, null=True)
    below = fields.IntField(default=0)
    ended_at = fields.DatetimeField()

    class Meta:
        table = "ended_tokens"
        indexes = (Index(fields=("ended_at",)),)


class KnownClient(Model):
    """A client from which a user has signed in; the key is a hash of both, of IPv6 by its /64."""

    id = fields.CharField(max_length=64, primary_key=True)
    user_id = fields.BigIntField()
    last_at = fields.DatetimeField()

    class Meta:
        table = "known_clients"
        indexes = (Index(fields=("last_at",)), Index(fields=("user_id",)))


class SignInFailures(Model):
    """Failed sign-ins of one account from one client, of either from all; the key is a hash of them."""

    id = fields.CharField(max_length=64, primary_key=True)
    count = fields.IntField()
    last_at = fields.DatetimeField()

    class Meta:
        table = "sign_in_failures"
        indexes = (Index(fields=("last_at",)),)


class SigningKey(Model):
    """A key pair for access tokens. The newest that has begun signs; all that have not ended are valid."""

    kid = fields.CharField(max_length=36, primary_key=True)
    generation = fields.IntField(unique=True, description="1, 2, ...: two replicas cannot both make the next")
    private_key = fields.TextField(description="PKCS #8, PEM")
    public_key = fields.CharField(max_length=64, description="The x of its JSON Web Key")
    signs_from = fields.DatetimeField()
    ends_at = fields.DatetimeField(null=True)

    class Meta:
        table = "signing_keys"


class Notification(Model):
    """Something that a buyer is told of. A user's are numbered in the order in which they can be seen."""

    id = fields.BigIntField(primary_key=True)
    user_id = fields.BigIntField()
    order_id = fields.CharField(max_length=36)
    kind = fields.CharField(max_length=32, description="See `contracts.NotificationKind`")
    part = fields.CharField(
        max_length=60,
        default="",
        description="Of several of a kind for an order: the payment, and the sum refunded by then",
    )
    reason = fields.CharField(max_length=64, null=True, description="Of an order's failure")
    amount = fields.BigIntField(null=True, description="Of a refund")
    created_at = fields.DatetimeField()
    read_at = fields.DatetimeField(null=True)

    class Meta:
        table = "notifications"
        unique_together = (("order_id", "kind", "part"),)
        indexes = (Index(fields=("user_id", "id")),)


class Delivery(Model):
    """A notification that is still to be sent outside; the row goes when that is done."""

    notification_id = fields.BigIntField(primary_key=True, generated=False)
    state = fields.CharField(max_length=10, description="WAITING or GIVEN_UP")
    due_at = fields.DatetimeField(null=True, description="The next try; none where it was given up")
    attempts = fields.IntField(default=0)
    last_error = fields.CharField(max_length=300, null=True)

    class Meta:
        table = "deliveries"
        indexes = (Index(fields=("due_at",)), Index(fields=("role",)))
        constraints = (
            CheckConstraint(
                name="a_waiting_delivery_is_due", check="`state` <> 'WAITING' OR `due_at` IS NOT NULL"
            ),
        )
