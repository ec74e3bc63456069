"""Job titles folded into rank and department, as written in English, German, French and Spanish."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

import polars as pl


class Rank(StrEnum):
    """How far up; a title that is there but tells no more is STAFF."""

    EXECUTIVE = "executive"
    VICE_PRESIDENT = "vice_president"
    DIRECTOR = "director"
    MANAGER = "manager"
    SENIOR = "senior"
    STAFF = "staff"
    JUNIOR = "junior"


class Department(StrEnum):
    """What the person works on; OTHER where the title doesn't tell."""

    SALES = "sales"
    MARKETING = "marketing"
    IT = "it"
    ENGINEERING = "engineering"
    FINANCE = "finance"
    PEOPLE = "people"
    OPERATIONS = "operations"
    PURCHASING = "purchasing"
    LEGAL = "legal"
    PRODUCT = "product"
    GENERAL = "general_management"
    OTHER = "other"


# Words and phrases between commas; a star stands for any letters. The first line that matches wins: an assistant to
# the CEO is no executive, a vice president no president.
_RANKS: Sequence[tuple[Rank, str]] = (
    (
        Rank.JUNIOR,
        """
        intern, internship, trainee, student, studentin, werkstudent*, praktikant*, azubi, auszubildende*, apprentice,
        stagiaire, becario, becaria, junior, jr, assistant to, assistent der, assistentin der, executive assistant,
        personal assistant, secretary, sekretär*, volunteer, retired, rentner*
        """,
    ),
    (Rank.VICE_PRESIDENT, "vp, svp, evp, avp, vice president*, vice-president*, vizepräsident*, vice-président*"),
    (
        Rank.EXECUTIVE,
        """
        ceo, cfo, cto, cio, coo, cmo, cro, cpo, cdo, cso, ciso, chro, chief, founder, co-founder, cofounder, gründer*,
        fondat*, fundador*, owner, inhaber*, propriet*, president, président*, pdg, geschäftsführ*, gf, vorstand*,
        managing director, directeur général, director general, managing partner, gesellschafter*, chair*
        """,
    ),
    (
        Rank.DIRECTOR,
        """
        director*, direktor*, directeur, directrice, head, *leiter, *leiterin, *leitung, prokurist*, jefe, jefa,
        responsable, chef
        """,
    ),
    (
        Rank.MANAGER,
        """
        *manager, *managerin, mgr, lead, teamlead*, supervisor, superintendent, gérant*, gerente, coordinator,
        koordinator*, principal, foreman
        """,
    ),
    (Rank.SENIOR, "senior, sr, expert*, architect*, specialist*, spezialist*, referent*, consultant"),
)
_DEPARTMENTS: Sequence[tuple[Department, str]] = (
    (Department.MARKETING, "*marketing*, cmo, brand, content, growth, demand gen*, seo, communication*, werbung, pr"),
    (Department.PEOPLE, "hr, chro, human resources, people, talent, recruit*, personal*, ressources humaines, rrhh"),
    (
        Department.PURCHASING,
        "procurement, purchas*, buyer, *einkauf*, *einkäuf*, achats, compras, sourcing, category manager",
    ),
    (
        Department.LEGAL,
        "legal, counsel, attorney, lawyer, jurist*, recht*, compliance, privacy, datenschutz*, juridique",
    ),
    (
        Department.FINANCE,
        """
        cfo, finance, financial, finanz*, accounting, accountant, controll*, treasur*, buchhalt*, tax, audit*,
        comptab*, finanzas
        """,
    ),
    (
        Department.SALES,
        """
        sales, cro, account executive, account manager, business development, bdr, sdr, *vertrieb*, verkauf*, ventes,
        ventas, commercial, key account*, revenue, customer success
        """,
    ),
    (
        Department.IT,
        """
        it, it-*, cio, ciso, information technology, information systems, information security, sysadmin*,
        system admin*, infrastructure, informatik*, edv, security, network*, helpdesk, informatique, sistemas
        """,
    ),
    (Department.PRODUCT, "product, produkt*, produit, producto, ux, ui, design*, cpo"),
    (
        Department.ENGINEERING,
        """
        cto, engineer*, eng, entwickl*, *entwickler*, develop*, software, devops, technolog*, technik*, technical,
        architect*, research*, forschung*, ingénieur*, ingenieur*, ingenier*, data scien*, machine learning, qa
        """,
    ),
    (
        Department.OPERATIONS,
        """
        coo, operation, operations, ops, logisti*, supply chain, production, produktion*, betrieb*, manufactur*,
        fertigung*, plant, facility, facilities, quality, qualität*, project, projekt*, opérations, operaciones
        """,
    ),
    (
        Department.GENERAL,
        """
        ceo, founder, co-founder, cofounder, owner, inhaber*, geschäftsführ*, gf, managing director, president, pdg,
        vorstand*, chief executive, general manager, partner, gründer*
        """,
    ),
)


def rank(title: pl.Expr) -> pl.Expr:
    """A Rank for each title, null where there is no title."""
    return _first_match(title, _RANKS, Rank.STAFF)


def department(title: pl.Expr) -> pl.Expr:
    """A Department for each title, null where there is no title."""
    return _first_match(title, _DEPARTMENTS, Department.OTHER)


def _first_match(title: pl.Expr, words: Sequence[tuple[StrEnum, str]], otherwise: StrEnum) -> pl.Expr:
    small = title.str.to_lowercase()
    folded = [pl.when(small.str.contains(_pattern(listed))).then(pl.lit(word.value)) for word, listed in words]
    return pl.when(title.is_not_null()).then(pl.coalesce(*folded, pl.lit(otherwise.value)))


def _pattern(listed: str) -> str:
    alternatives = (re.escape(" ".join(word.split())).replace(r"\*", r"\w*") for word in listed.split(","))
    return rf"\b({'|'.join(alternatives)})\b"
