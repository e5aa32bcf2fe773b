"""Accounts: invitations, passwords, roles, sign-in and its limits, erasure.

Passwords are hashed with argon2id outside the writer's transaction. Tokens for links are signed and used once; of a
token the database keeps its random part only after it was used or until it expires. Personal data lies in the table
`people` alone.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from itsdangerous import BadSignature, URLSafeSerializer

from tamis.people.store import journal
from tamis.people.store.base import Base, write
from tamis.people.store.database import Connection, Transaction
from tamis.people.store.rows import ROLES, Invitation, Rater, Role, StoreError

SHORTEST = 10  # characters of a password
LONGEST = 1_000
ACCOUNT_TRIES, ADDRESS_TRIES, TRY_SECONDS = 8, 40, 900.0
# OWASP's setting for argon2id: 19 MiB, two passes. The library's 64 MiB lets a few sign-ins fill a small host.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = _hasher.hash(secrets.token_hex(16))  # verified for unknown names, so that both take as long
_RATER = (
    "SELECT r.id, r.pseudonym, r.role, r.state, r.version, p.name, p.email, r.language, r.guideline "
    "FROM raters r LEFT JOIN people p ON p.rater = r.id "
)


class Accounts(Base):
    """The part of the store that knows who is who."""

    # --- reading ------------------------------------------------------------------------------------------------

    def rater(self, rater: int) -> Rater | None:
        with self.database.reading_one() as c:
            return _rater(c.one(_RATER + "WHERE r.id = :rater", rater=rater))

    def raters(self) -> list[Rater]:
        with self.database.reading_one() as c:
            return [found for row in c.all(_RATER + "ORDER BY r.id") if (found := _rater(row))]

    def find(self, email: str) -> Rater | None:
        """By e-mail, whatever its case."""
        with self.database.reading_one() as c:
            return _rater(c.one(_RATER + "WHERE p.email = :email", email=_email(email)))

    def has_owner(self) -> bool:
        with self.database.reading_one() as c:
            return c.value("SELECT 1 FROM raters WHERE role = 'owner' AND state = 'active' LIMIT 1") is not None

    # --- coming in ----------------------------------------------------------------------------------------------

    @write
    def invite(
        self, c: Transaction, role: Role, by: int | None = None, email: str | None = None, days: float = 7.0
    ) -> str:
        """A token for one new account. `by` is an owner, or None for the command line."""
        if role not in ROLES:
            raise StoreError("unknown", f"there is no role {role!r}: {', '.join(ROLES)}")
        self._owner(c, by)
        name = secrets.token_hex(12)
        expires = c.now + days * 86_400
        c.run(
            "INSERT INTO invitations (id, role, email, author, expires) VALUES (:id, :role, :email, :by, :expires)",
            id=name,
            role=role,
            email=_email(email) if email else None,
            by=by,
            expires=expires,
        )
        journal.append(c, "invite", {"role": role, "by": self._pseudonym(c, by), "expires": round(expires)})
        return self._sign("invite", name)

    def invitation(self, token: str) -> Invitation:
        """What a token is for. Raises StoreError `bad-token` where it is none, was used, or is too old."""
        with self.database.reading_one() as c:
            row = self._token(c, "invite", token)
        return Invitation(row.role, row.email, row.expires)

    def accept(self, token: str, name: str, email: str, password: str, language: str = "en") -> Rater:
        """Makes the account that an invitation is for."""
        self.invitation(token)  # before the work of hashing
        return self._accept(token, _name(name), _email(email), _hash(password), language)

    @write
    def _accept(self, c: Transaction, token: str, name: str, email: str, password: str, language: str) -> Rater:
        invitation = self._token(c, "invite", token)
        if invitation.email and invitation.email != email:
            raise StoreError("other-email", "this invitation is for another e-mail address")
        c.run("UPDATE invitations SET used = :now, email = NULL WHERE id = :id", now=c.now, id=invitation.id)
        return self._join(c, invitation.role, name, email, password, language)

    @write
    def add_model(self, c: Transaction, name: str) -> Rater:
        """A model as a rater, or the one of that name that is here already. It cannot sign in."""
        address = f"{name.strip().lower()}@model"
        if found := _rater(c.one(_RATER + "WHERE p.email = :email", email=address)):
            return found
        return self._join(c, "model", _name(name), address, "", "en")

    def _join(self, c: Transaction, role: Role, name: str, email: str, password: str, language: str) -> Rater:
        if c.value("SELECT 1 FROM people WHERE email = :email", email=email):
            raise StoreError(
                "taken", "there is an account with this e-mail address: sign in, or ask for a new password"
            )
        state = self._first_state(c) if role == "rater" else "active"
        pseudonym = f"{'m' if role == 'model' else 'r'}-{secrets.token_hex(4)}"
        rater = c.value(
            "INSERT INTO raters (pseudonym, role, state, joined, language) "
            "VALUES (:pseudonym, :role, :state, :now, :language) RETURNING id",
            pseudonym=pseudonym,
            role=role,
            state=state,
            now=c.now,
            language=language if language in self.task.languages else self.task.languages[0],
        )
        salt = journal.new_salt()
        c.run(
            "INSERT INTO people (rater, name, email, password, salt) VALUES (:rater, :name, :email, :password, :salt)",
            rater=rater,
            name=name,
            email=email,
            password=password,
            salt=salt,
        )
        who = journal.commitment(salt, journal.canonical([name, email]))
        journal.append(c, "join", {"rater": pseudonym, "role": role, "state": state, "commitment": who})
        joined = _rater(c.one(_RATER + "WHERE r.id = :rater", rater=rater))
        assert joined is not None
        return joined

    # --- passwords ----------------------------------------------------------------------------------------------

    def sign_in(self, email: str, password: str, address: str = "") -> Rater:
        """The rater of an e-mail and a password. Raises StoreError `sign-in`, or `wait` after too many failures of the
        account (from wherever) or of the address (whatever the account)."""
        email = _email(email, strict=False)
        # Counted before the password is looked at, so that many at once are not more guesses.
        stored, rater = self._try(email, address)
        try:
            _hasher.verify(stored or _NOBODY, password[:LONGEST])
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            raise StoreError("sign-in", "the e-mail address or the password is wrong") from None
        if rater is None or not stored:
            raise StoreError("sign-in", "the e-mail address or the password is wrong")
        new = _hash(password) if _hasher.check_needs_rehash(stored) else None
        return self._signed_in(rater, email, address, new)

    @write
    def _try(self, c: Transaction, email: str, address: str) -> tuple[str | None, int | None]:
        c.run("DELETE FROM tries WHERE first < :old", old=c.now - TRY_SECONDS)
        for name, most in (_try_names(email, address)).items():
            row = c.one("SELECT failures, first FROM tries WHERE name = :name", name=name)
            if row and row.failures >= most:
                wait = max(1.0, row.first + TRY_SECONDS - c.now)
                raise StoreError("wait", f"too many attempts: try again in {round(wait / 60) or 1} minutes", wait)
        for name in _try_names(email, address):
            c.run(
                "INSERT INTO tries (name, failures, first) VALUES (:name, 1, :now) "
                "ON CONFLICT (name) DO UPDATE SET failures = tries.failures + 1",
                name=name,
                now=c.now,
            )
        row = c.one(
            "SELECT p.password, p.rater FROM people p JOIN raters r ON r.id = p.rater "
            "WHERE p.email = :email AND r.role <> 'model' AND r.state <> 'erased'",
            email=email,
        )
        return (row.password, row.rater) if row else (None, None)

    @write
    def _signed_in(self, c: Transaction, rater: int, email: str, address: str, password: str | None) -> Rater:
        account, *from_ = _try_names(email, address)
        c.run("DELETE FROM tries WHERE name = :name", name=account)
        for name in from_:  # one good sign-in must not wash an address clean of its guesses
            c.run("UPDATE tries SET failures = failures - 1 WHERE name = :name", name=name)
        if password:
            c.run("UPDATE people SET password = :password WHERE rater = :rater", password=password, rater=rater)
        found = _rater(c.one(_RATER + "WHERE r.id = :rater", rater=rater))
        if found is None or found.state == "erased":
            raise StoreError("sign-in", "the e-mail address or the password is wrong")
        return found

    @write
    def reset_token(self, c: Transaction, rater: int, by: int | None = None, days: float = 1.0) -> str:
        """A token with which a rater sets a new password; `by` is an owner, or None for the command line."""
        self._owner(c, by)
        self._known(c, rater)
        name = secrets.token_hex(12)
        c.run(
            "INSERT INTO resets (id, rater, expires) VALUES (:id, :rater, :expires)",
            id=name,
            rater=rater,
            expires=c.now + days * 86_400,
        )
        journal.append(c, "reset", {"rater": self._pseudonym(c, rater), "by": self._pseudonym(c, by)})
        return self._sign("reset", name)

    def reset_password(self, token: str, password: str) -> Rater:
        """Sets a new password by a token and ends every session of the account."""
        with self.database.reading_one() as c:
            self._token(c, "reset", token)
        return self._reset(token, _hash(password))

    @write
    def _reset(self, c: Transaction, token: str, password: str) -> Rater:
        row = self._token(c, "reset", token)
        c.run("UPDATE resets SET used = :now WHERE id = :id", now=c.now, id=row.id)
        return self._password(c, row.rater, password)

    def change_password(self, rater: int, old: str, new: str) -> Rater:
        """Sets a new password by the old one. Guesses are counted as failed sign-ins are."""
        known = self.rater(rater)
        if known is None:
            raise StoreError("unknown", "there is no such rater")
        self.sign_in(known.email, old)
        return self._change(rater, _hash(new))

    @write
    def _change(self, c: Transaction, rater: int, password: str) -> Rater:
        return self._password(c, rater, password)

    def _password(self, c: Transaction, rater: int, password: str) -> Rater:
        c.run("UPDATE people SET password = :password WHERE rater = :rater", password=password, rater=rater)
        email = c.value("SELECT email FROM people WHERE rater = :rater", rater=rater)
        if email is None:
            raise StoreError("unknown", "this account was erased")
        c.run("DELETE FROM tries WHERE name = :name", name=next(iter(_try_names(email, ""))))
        # Links that were made before are worth nothing now, used or not.
        c.run("UPDATE resets SET used = :now WHERE rater = :rater AND used IS NULL", now=c.now, rater=rater)
        self._bump(c, rater)
        journal.append(c, "password", {"rater": self._pseudonym(c, rater)})
        found = _rater(c.one(_RATER + "WHERE r.id = :rater", rater=rater))
        assert found is not None
        return found

    # --- changes ------------------------------------------------------------------------------------------------

    @write
    def sign_out_everywhere(self, c: Transaction, rater: int) -> None:
        """Ends every session of an account."""
        self._bump(c, rater)

    @write
    def set_language(self, c: Transaction, rater: int, language: str) -> None:
        c.run("UPDATE raters SET language = :language WHERE id = :rater", language=language, rater=rater)

    @write
    def set_role(self, c: Transaction, rater: int, role: Role, by: int | None = None) -> None:
        """Raises StoreError `forbidden` where no owner would be left."""
        if role not in ROLES:
            raise StoreError("unknown", f"there is no role {role!r}: {', '.join(ROLES)}")
        self._owner(c, by)
        row = self._known(c, rater)
        if row.role == "owner" and role != "owner":
            self._other_owner(c, rater)
        c.run("UPDATE raters SET role = :role WHERE id = :rater", role=role, rater=rater)
        if role != "rater" and row.state in ("training", "qualifying"):
            c.run("UPDATE raters SET state = 'active' WHERE id = :rater", rater=rater)
        self._bump(c, rater)
        who = self._pseudonym(c, by)
        journal.append(c, "role", {"rater": row.pseudonym, "role": role, "by": who})

    @write
    def block(self, c: Transaction, rater: int, by: int | None, why: str) -> None:
        """No more work for a rater; the labels stay (see `release`)."""
        self._owner(c, by)
        row = self._known(c, rater)
        if row.role == "owner":
            self._other_owner(c, rater)
        self._set_blocked(c, rater, why, self._pseudonym(c, by))

    def _set_blocked(self, c: Transaction, rater: int, why: str, by: str | None) -> None:
        c.run("UPDATE raters SET state = 'blocked', remark = :why WHERE id = :rater", why=why, rater=rater)
        self._drop_leases(c, rater)
        self._bump(c, rater)
        # The reason is a remark about a person: it stands beside the account, not in the journal.
        journal.append(c, "block", {"rater": self._pseudonym(c, rater), "by": by or "sequential test"})

    @write
    def unblock(self, c: Transaction, rater: int, by: int | None, why: str = "") -> None:
        """Work again, with a fresh sequential test."""
        self._owner(c, by)
        row = self._known(c, rater)
        if row.state not in ("blocked", "failed", "left"):
            raise StoreError("forbidden", f"this rater is {row.state}, not blocked")
        c.run(
            "UPDATE raters SET state = 'active', gold_right = 0, gold_wrong = 0, attempt = attempt + 1 "
            "WHERE id = :rater",
            rater=rater,
        )
        journal.append(c, "unblock", {"rater": row.pseudonym, "by": self._pseudonym(c, by)})

    @write
    def leave(self, c: Transaction, rater: int) -> None:
        """A rater stops; what is leased goes to others."""
        row = self._known(c, rater)
        c.run("UPDATE raters SET state = 'left' WHERE id = :rater", rater=rater)
        self._drop_leases(c, rater)
        journal.append(c, "leave", {"rater": row.pseudonym})

    def erase(self, rater: int, by: int | None = None, texts: bool = False) -> None:
        """Forgets who a rater is: name, e-mail, password, attempts, remarks. Labels stay under the pseudonym, and the
        chain holds. With `texts` the rater's written answers go too. Backups made before still hold what they held."""
        self._erase(rater, by, texts)
        with self.database.engine.connect() as raw:
            if self.database.dialect == "sqlite":  # out of the log as well, not only out of the tables
                raw.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    @write
    def _erase(self, c: Transaction, rater: int, by: int | None, texts: bool) -> None:
        if by != rater:
            self._owner(c, by)
        row = self._known(c, rater)
        if row.role == "owner":
            self._other_owner(c, rater)
        email = c.value("SELECT email FROM people WHERE rater = :rater", rater=rater)
        self._drop_leases(c, rater)
        c.run("DELETE FROM people WHERE rater = :rater", rater=rater)
        c.run("DELETE FROM resets WHERE rater = :rater", rater=rater)
        if email:
            c.run("DELETE FROM tries WHERE name = :name", name=next(iter(_try_names(email, ""))))
            c.run("UPDATE invitations SET email = NULL WHERE email = :email", email=email)
        c.run("UPDATE labels SET note = NULL WHERE rater = :rater", rater=rater)
        c.run("UPDATE assignments SET reason = NULL WHERE rater = :rater AND state = 'skipped'", rater=rater)
        seqs: list[int] = []
        if texts:
            rows = c.all("SELECT seq FROM labels WHERE rater = :rater AND salt IS NOT NULL ORDER BY seq", rater=rater)
            seqs = [one.seq for one in rows]
            c.run("UPDATE labels SET value = NULL, salt = NULL WHERE rater = :rater AND salt IS NOT NULL", rater=rater)
        c.run("UPDATE raters SET state = 'erased', remark = NULL WHERE id = :rater", rater=rater)
        self._bump(c, rater)
        journal.append(c, "erase", {"rater": row.pseudonym, "by": self._pseudonym(c, by), "labels": seqs})

    # --- helpers ------------------------------------------------------------------------------------------------

    def _sign(self, purpose: str, name: str) -> str:
        signed: Any = URLSafeSerializer(self.secret, salt=purpose).dumps(name)
        return str(signed)

    def _token(self, c: Connection, purpose: str, token: str) -> Any:
        bad = StoreError("bad-token", "this link is wrong, was used already, or is too old: ask for a new one")
        try:
            name = URLSafeSerializer(self.secret, salt=purpose).loads(token)
        except BadSignature:
            raise bad from None
        table = {"invite": "invitations", "reset": "resets"}[purpose]
        row = c.one(f"SELECT * FROM {table} WHERE id = :id", id=str(name))
        if row is None or row.used is not None or row.expires < self.database.clock():
            raise bad
        return row

    def _bump(self, c: Transaction, rater: int) -> None:
        c.run("UPDATE raters SET version = version + 1 WHERE id = :rater", rater=rater)

    def _other_owner(self, c: Transaction, rater: int) -> None:
        if not c.value("SELECT 1 FROM raters WHERE role = 'owner' AND state = 'active' AND id <> :id", id=rater):
            raise StoreError("forbidden", "this is the only owner: make somebody else an owner first")


def _rater(row: Any) -> Rater | None:
    if row is None:
        return None
    who = (row.name or "", row.email or "")
    return Rater(row.id, row.pseudonym, row.role, row.state, row.version, *who, row.language, row.guideline)


def _try_names(email: str, address: str) -> dict[str, int]:
    """Whose failures are counted, hashed so that a mistyped password in the name field is not kept."""
    account = hashlib.blake2b(f"account|{email}".encode(), digest_size=16).hexdigest()
    names = {account: ACCOUNT_TRIES}
    if address:
        names[hashlib.blake2b(f"address|{address}".encode(), digest_size=16).hexdigest()] = ADDRESS_TRIES
    return names


def _email(text: str, strict: bool = True) -> str:
    email = text.strip().lower()
    if strict and ("@" not in email or len(email) > 254 or any(c.isspace() or ord(c) < 32 for c in email)):
        raise StoreError("unknown", "that is no e-mail address")
    return email.replace("\0", "")


def _name(text: str) -> str:
    name = " ".join(text.replace("\0", "").split())
    if not 1 <= len(name) <= 200:
        raise StoreError("unknown", "a name has 1 to 200 characters")
    return name


def _hash(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise StoreError("password", f"a password has at least {SHORTEST} characters")
    return _hasher.hash(password)
