"""Accounts: invitations, passwords, limits, roles, sessions' versions."""

from __future__ import annotations

import pytest

from people_store import join
from tamis.people.store import Store, StoreError
from tamis.people.store.accounts import ACCOUNT_TRIES, ADDRESS_TRIES, TRY_SECONDS

PASSWORD = "correct horse battery"


@pytest.fixture
def store(database, make_task, clock):
    with Store.open(database, make_task(), clock) as store:
        yield store


def code(call, *args, **kwargs):
    with pytest.raises(StoreError) as error:
        call(*args, **kwargs)
    return error.value.code


def test_an_invitation_makes_one_account(store, clock):
    assert not store.has_owner()
    token = store.invite("owner", None)
    assert store.invitation(token).role == "owner"
    ada = store.accept(token, " Ada  Lovelace ", "Ada@Example.org", PASSWORD, "zh")
    assert (ada.name, ada.email, ada.role, ada.state, ada.language) == (
        "Ada Lovelace", "ada@example.org", "owner", "active", "zh",
    )  # fmt: skip
    assert store.has_owner()
    assert code(store.accept, token, "Eve", "eve@example.org", PASSWORD) == "bad-token"
    assert code(store.invitation, token) == "bad-token"
    second = store.invite("rater", ada.id, "bob@example.org", days=1)
    assert code(store.accept, second, "Eve", "eve@example.org", PASSWORD) == "other-email", "it names its address"
    assert code(store.accept, second[:-2] + "xx", "Bob", "bob@example.org", PASSWORD) == "bad-token"
    assert code(store.accept, second, "Bob", "bob@example.org", "short") == "password"
    clock.pass_(2 * 86_400)
    assert code(store.accept, second, "Bob", "bob@example.org", PASSWORD) == "bad-token"
    third = store.invite("rater", ada.id)
    assert code(store.accept, third, "Ada", "ADA@example.org", PASSWORD) == "taken"
    bob = store.accept(third, "Bob", "bob@example.org", PASSWORD)
    assert code(store.invite, "rater", bob.id) == "forbidden"
    assert code(store.invite, "king", ada.id) == "unknown"
    assert store.verify().ok


def test_signing_in_is_limited_by_account_and_by_address(store, clock):
    ada = store.accept(store.invite("rater", None), "Ada", "ada@example.org", PASSWORD)
    assert store.sign_in(" ADA@example.org", PASSWORD, "10.0.0.1") == ada
    for number in range(ACCOUNT_TRIES):
        assert code(store.sign_in, "ada@example.org", "wrong password", f"10.0.1.{number}") == "sign-in"
    with pytest.raises(StoreError) as error:
        store.sign_in("ada@example.org", PASSWORD, "10.0.0.1")
    assert error.value.code == "wait"
    assert 0 < error.value.seconds <= TRY_SECONDS
    clock.pass_(TRY_SECONDS + 1)
    assert store.sign_in("ada@example.org", PASSWORD, "10.0.0.1") == ada


def test_an_address_that_guesses_many_names_waits(store, clock, monkeypatch):
    from tamis.people.store import accounts

    class Quick:
        """Argon2 is slow on purpose; what is tested here is the counting."""

        def verify(self, *_):
            raise accounts.VerifyMismatchError

    monkeypatch.setattr(accounts, "_hasher", Quick())
    for number in range(ADDRESS_TRIES):
        assert code(store.sign_in, f"person{number}@example.org", "guess", "10.9.9.9") == "sign-in"
    assert code(store.sign_in, "another@example.org", "guess", "10.9.9.9") == "wait"
    assert code(store.sign_in, "another@example.org", "guess", "10.9.9.8") == "sign-in"


def test_a_password_reset_works_once_and_ends_sessions(store, clock):
    ada = store.accept(store.invite("rater", None), "Ada", "ada@example.org", PASSWORD)
    for _ in range(ACCOUNT_TRIES):
        code(store.sign_in, "ada@example.org", "wrong password", "10.0.0.1")
    token = store.reset_token(ada.id)
    after = store.reset_password(token, "another long password")
    assert after.version > ada.version
    assert store.sign_in("ada@example.org", "another long password", "10.0.0.2").id == ada.id, "the limit is lifted"
    assert code(store.sign_in, "ada@example.org", PASSWORD, "10.0.0.2") == "sign-in"
    assert code(store.reset_password, token, "yet another password") == "bad-token"
    late = store.reset_token(ada.id)
    clock.pass_(2 * 86_400)
    assert code(store.reset_password, late, "yet another password") == "bad-token"
    changed = store.change_password(ada.id, "another long password", "a third long password")
    assert changed.version > after.version
    assert code(store.change_password, ada.id, "not the password", "a fourth long password") == "sign-in"


def test_an_invitation_is_no_reset(store):
    assert code(store.reset_password, store.invite("owner", None), PASSWORD) == "bad-token"


def test_roles_need_an_owner_and_leave_one(store):
    owner, rater = join(store, 1, "owner"), join(store, 2)
    assert code(store.set_role, rater, "owner", rater) == "forbidden"
    assert code(store.set_role, owner, "rater", owner) == "forbidden", "the last owner stays one"
    assert code(store.erase, owner, owner) == "forbidden"
    store.set_role(rater, "owner", owner)
    store.set_role(owner, "rater", rater)
    assert store.rater(owner).role == "rater"
    assert [entry.body["role"] for entry in store.journal() if entry.kind == "role"] == ["owner", "rater"]


def test_a_blocked_rater_gets_nothing_and_the_reason_is_not_in_the_journal(store):
    owner, rater = join(store, 1, "owner"), join(store, 2)
    held = store.next_for(rater)
    store.block(rater, owner, "copied from Carol Jones")
    assert store.next_for(rater).reason == "blocked"
    assert code(store.submit, rater, held.id, "yes", "t") == "blocked"
    assert all("Carol" not in str(entry.body) for entry in store.journal())
    store.unblock(rater, owner, "a mistake")
    assert store.next_for(rater).example


def test_a_model_is_a_rater_that_cannot_sign_in(store):
    judge = store.add_model("judge-7b")
    assert store.add_model("judge-7b") == judge
    assert judge.role == "model"
    assert code(store.sign_in, judge.email, "", "10.0.0.1") == "sign-in"
    assert store.record_model(judge.id, "e-1", "yes") == "added"
    assert store.record_model(judge.id, "e-1", "no") == "known"
    assert store.progress().wanted == 18, "models take no slots"
    assert len(store.matrix()) == 1


def test_a_new_password_ends_the_links_that_were_made_before(database, make_task, clock):
    with Store.open(database, make_task(), clock) as store:
        rater = join(store, 1)
        first, second = store.reset_token(rater), store.reset_token(rater)
        store.reset_password(second, "correct horse battery")
        with pytest.raises(StoreError, match="used already"):
            store.reset_password(first, "another horse battery")
