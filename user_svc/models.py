"""The tables of the user service."""

from tortoise import fields
from tortoise.indexes import Index
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
    role = fields.CharField(max_length=16, default="customer", description="customer or admin")
    state = fields.CharField(max_length=16, description="OPENING or ACTIVE")
    created_at = fields.DatetimeField()

    class Meta:
        table = "users"
        indexes = (Index(fields=("state", "created_at")),)


class SignInSession(Model):
    """A sign-in, alive until it is ended or not renewed in time. It holds hashes of refresh tokens."""

    id = fields.CharField(max_length=36, primary_key=True)
    user_id = fields.BigIntField()
    secret_hash = fields.CharField(max_length=64)
    previous_hash = fields.CharField(max_length=64, null=True)
    rotated_by = fields.CharField(
        max_length=36, null=True, description="The request that used the previous one"
    )
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField()

    class Meta:
        table = "sessions"
        indexes = (Index(fields=("expires_at",)),)


class SignInFailures(Model):
    """Failed sign-ins in a row, of one account from one address; the key is a hash of both."""

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
