"""E-mail addresses and phone numbers: are they usable, and what kind of address is it."""

from __future__ import annotations

from enum import StrEnum

import polars as pl


class EmailKind(StrEnum):
    """What an e-mail address tells about its owner."""

    WORK = "work"
    FREE_MAIL = "free_mail"
    ROLE = "role"
    DISPOSABLE = "disposable"
    INVALID = "invalid"
    MISSING = "missing"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FREE_MAIL = _words(
    """
    gmail.com googlemail.com yahoo.com yahoo.co.uk yahoo.de yahoo.fr yahoo.es yahoo.it ymail.com
    rocketmail.com hotmail.com hotmail.co.uk hotmail.de hotmail.fr hotmail.it hotmail.es outlook.com
    outlook.de outlook.fr live.com live.co.uk live.de live.fr msn.com aol.com icloud.com me.com mac.com gmx.de
    gmx.net gmx.at gmx.ch gmx.com web.de t-online.de freenet.de posteo.de mailbox.org proton.me protonmail.com
    pm.me tutanota.com tuta.io zoho.com fastmail.com hey.com mail.com mail.ru yandex.ru yandex.com bk.ru
    inbox.ru list.ru qq.com 163.com 126.com sina.com orange.fr free.fr laposte.net wanadoo.fr sfr.fr libero.it
    virgilio.it tiscali.it alice.it bluewin.ch btinternet.com sky.com ntlworld.com comcast.net verizon.net
    att.net sbcglobal.net cox.net bellsouth.net rediffmail.com uol.com.br bol.com.br terra.com.br wp.pl o2.pl
    onet.pl interia.pl seznam.cz telenet.be skynet.be ziggo.nl kpnmail.nl xs4all.nl telia.com
    """
)
DISPOSABLE = _words(
    """
    mailinator.com guerrillamail.com guerrillamail.info sharklasers.com grr.la 10minutemail.com
    10minutemail.net temp-mail.org tempmail.com tempmail.dev tempmailo.com tempr.email throwawaymail.com
    trashmail.com trashmail.de trash-mail.com wegwerfmail.de yopmail.com yopmail.fr getnada.com nada.email
    maildrop.cc mailnesia.com mintemail.com dispostable.com fakeinbox.com mohmal.com moakt.com emailondeck.com
    spamgourmet.com mytemp.email burnermail.io discard.email discardmail.com mailcatch.com mailsac.com
    inboxkitten.com spam4.me tmpmail.org byom.de spambog.com einrot.com cuvox.de armyspy.com dayrep.com
    fleckens.hu gustr.com jourrapide.com rhyta.com superrito.com teleworm.us minutemail.com anonaddy.me
    """
)
ROLES = _words(
    """
    info contact kontakt hello office mail email post enquiries enquiry inquiries sales vertrieb marketing
    support help helpdesk service admin administrator webmaster postmaster hostmaster abuse noreply no-reply
    donotreply do-not-reply billing accounts accounting buchhaltung invoice invoices finance hr jobs careers
    bewerbung press presse media legal privacy datenschutz security team all everyone reception rezeption
    welcome newsletter
    """
)

_ADDRESS = (
    r"^[^\s@,;:<>()\[\]\\\"]{1,64}@([\p{L}\p{N}]([\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.)+[\p{L}][\p{L}\p{N}-]{1,62}$"
)
# RFC 2606 and RFC 6761 keep these apart for examples and tests.
_RESERVED = r"(^|[@.])(example\.(com|org|net)|example|test|invalid|localhost)$"


def domain(email: pl.Expr) -> pl.Expr:
    """What stands behind the @."""
    return email.str.extract(r"@([^@]+)$", 1)


def is_usable(email: pl.Expr) -> pl.Expr:
    """Whether it has the form of an address that can exist; null where there is none."""
    broken = email.str.contains(r"\.\.|^\.|\.@")
    return email.str.contains(_ADDRESS) & ~broken & (email.str.len_chars() <= 254)


def is_reserved(email: pl.Expr) -> pl.Expr:
    """Whether it belongs to a domain that is kept apart for examples and tests."""
    return email.str.contains(_RESERVED)


def email_kind(email: pl.Expr) -> pl.Expr:
    """An EmailKind for each address; never null. A free mailbox called info@ is a free mailbox."""
    behind = domain(email)
    return (
        pl.when(email.is_null())
        .then(pl.lit(EmailKind.MISSING.value))
        .when(~is_usable(email))
        .then(pl.lit(EmailKind.INVALID.value))
        .when(behind.is_in(sorted(DISPOSABLE)))
        .then(pl.lit(EmailKind.DISPOSABLE.value))
        .when(behind.is_in(sorted(FREE_MAIL)))
        .then(pl.lit(EmailKind.FREE_MAIL.value))
        .when(email.str.extract(r"^([^@+]+)", 1).is_in(sorted(ROLES)))
        .then(pl.lit(EmailKind.ROLE.value))
        .otherwise(pl.lit(EmailKind.WORK.value))
    )


def is_callable(phone: pl.Expr) -> pl.Expr:
    """Whether a phone number has 6 to 15 digits that aren't all the same; null where there is none.

    Source: ITU-T E.164, at most 15 digits.
    """
    digits = phone.str.replace_all(r"[^0-9]", "")
    alike = digits.str.contains(r"^(0+|1+|2+|3+|4+|5+|6+|7+|8+|9+|0?1234567(8(90?)?)?)$")
    return digits.str.len_chars().is_between(6, 15) & ~alike
