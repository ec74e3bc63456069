"""The words a population is made of: names, firms, titles, places and the ways people spell them.

Company domains end in the reserved `.example`; telephone numbers come from ranges kept free for fiction where a
country has one. Free-mail and disposable domains are real, because recognising them is what they are here for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """One country with its share of companies and the way its people write it."""

    code: str
    name: str
    share: float
    spellings: tuple[str, ...]
    cities: tuple[str, ...]
    legal_forms: tuple[str, ...]
    phone: str  # `#` is a digit
    zone: str
    names: str  # key of FIRST_NAMES and LAST_NAMES
    fit: float


COUNTRIES: tuple[Country, ...] = (
    Country(
        code="US",
        name="United States",
        share=0.28,
        spellings=(
            "USA",
            "US",
            "U.S.A.",
            "united states",
            "United States ",
        ),
        cities=("Boston", "Austin", "Denver", "Chicago", "Portland", "Atlanta"),
        legal_forms=("Inc.", "LLC", "Corp."),
        phone="+1 (415) 555-01##",
        zone="America/New_York",
        names="english",
        fit=0.2,
    ),
    Country(
        code="DE",
        name="Germany",
        share=0.17,
        spellings=("DE", "germany ", "Deutschland", "GERMANY", "Germany\t"),
        cities=("Berlin", "Hamburg", "München", "Köln", "Leipzig"),
        legal_forms=("GmbH", "AG", "GmbH & Co. KG"),
        phone="+49 30 23125 ###",
        zone="Europe/Berlin",
        names="german",
        fit=0.3,
    ),
    Country(
        code="GB",
        name="United Kingdom",
        share=0.13,
        spellings=("UK", "GB", "England", "united kingdom", "U.K."),
        cities=("London", "Leeds", "Bristol", "Manchester", "Edinburgh"),
        legal_forms=("Ltd", "plc", "LLP"),
        phone="+44 20 7946 0###",
        zone="Europe/London",
        names="english",
        fit=0.15,
    ),
    Country(
        code="FR",
        name="France",
        share=0.08,
        spellings=("FR", "france", "FRANCE ", "République française"),
        cities=("Paris", "Lyon", "Nantes", "Lille"),
        legal_forms=("SAS", "SA", "SARL"),
        phone="01 99 00 ## ##",
        zone="Europe/Paris",
        names="french",
        fit=0.0,
    ),
    Country(
        code="NL",
        name="Netherlands",
        share=0.05,
        spellings=("NL", "The Netherlands", "Holland", "netherlands"),
        cities=("Utrecht", "Rotterdam", "Eindhoven"),
        legal_forms=("B.V.", "N.V."),
        phone="+31 20 555 0###",
        zone="Europe/Amsterdam",
        names="dutch",
        fit=0.1,
    ),
    Country(
        code="ES",
        name="Spain",
        share=0.04,
        spellings=("ES", "España", "spain"),
        cities=("Madrid", "Valencia", "Bilbao"),
        legal_forms=("S.L.", "S.A."),
        phone="+34 910 555 ###",
        zone="Europe/Madrid",
        names="spanish",
        fit=-0.1,
    ),
    Country(
        code="IT",
        name="Italy",
        share=0.04,
        spellings=("IT", "Italia", "italy "),
        cities=("Milano", "Torino", "Bologna"),
        legal_forms=("S.r.l.", "S.p.A."),
        phone="+39 02 5550 ####",
        zone="Europe/Rome",
        names="spanish",
        fit=-0.1,
    ),
    Country(
        code="SE",
        name="Sweden",
        share=0.03,
        spellings=("SE", "Sverige", "sweden"),
        cities=("Stockholm", "Göteborg", "Malmö"),
        legal_forms=("AB",),
        phone="+46 8 465 004 ##",
        zone="Europe/Stockholm",
        names="nordic",
        fit=0.2,
    ),
    Country(
        code="PL",
        name="Poland",
        share=0.03,
        spellings=("PL", "Polska", "poland"),
        cities=("Warszawa", "Kraków", "Gdańsk"),
        legal_forms=("sp. z o.o.", "S.A."),
        phone="+48 22 555 0# ##",
        zone="Europe/Warsaw",
        names="polish",
        fit=0.0,
    ),
    Country(
        code="CH",
        name="Switzerland",
        share=0.04,
        spellings=("CH", "Schweiz", "Suisse", "switzerland"),
        cities=("Zürich", "Basel", "Genève"),
        legal_forms=("AG", "SA"),
        phone="+41 44 555 0# ##",
        zone="Europe/Zurich",
        names="german",
        fit=0.4,
    ),
    Country(
        code="CA",
        name="Canada",
        share=0.05,
        spellings=("CA", "canada", "CAN"),
        cities=("Toronto", "Montréal", "Calgary"),
        legal_forms=("Inc.", "Ltd."),
        phone="+1 613-555-01##",
        zone="America/Toronto",
        names="english",
        fit=0.1,
    ),
    Country(
        code="JP",
        name="Japan",
        share=0.02,
        spellings=("JP", "日本", "japan"),
        cities=("Tokyo", "Osaka"),
        legal_forms=("K.K.",),
        phone="+81 3 5550 ####",
        zone="Asia/Tokyo",
        names="japanese",
        fit=-0.3,
    ),
    Country(
        code="IN",
        name="India",
        share=0.02,
        spellings=("IN", "india", "Bharat"),
        cities=("Pune", "Bengaluru"),
        legal_forms=("Pvt Ltd",),
        phone="+91 22 5550 ####",
        zone="Asia/Kolkata",
        names="indian",
        fit=-0.4,
    ),
    Country(
        code="BR",
        name="Brazil",
        share=0.02,
        spellings=("BR", "Brasil", "brazil"),
        cities=("São Paulo", "Curitiba"),
        legal_forms=("Ltda.",),
        phone="+55 11 5550-####",
        zone="America/Sao_Paulo",
        names="spanish",
        fit=-0.4,
    ),
)

FIRST_NAMES = {
    "english": "James Mary Robert Linda Michael Susan David Karen Daniel Nancy Paul Laura Mark Emma Kevin Olivia George Grace Sean Chloe",  # noqa: E501
    "german": "Anna Lukas Katrin Jürgen Sabine Stefan Uwe Heike Jonas Lena Björn Käthe Matthias Ute Tobias Silke",
    "french": "Camille Hugo Élodie Antoine Chloé François Margaux Benoît Inès Rémi Zoé Gaël",
    "dutch": "Sanne Daan Femke Joost Anouk Bram Lotte Sjoerd Maaike Ruben",
    "spanish": "Lucía Mateo José María Iñigo Elena Giulia Marco Renata Paulo Beatriz Andrés Núria Davide",
    "nordic": "Åsa Erik Ingrid Lars Maja Nils Søren Freja Östen Linnea",
    "polish": "Agnieszka Paweł Małgorzata Tomasz Zofia Łukasz Ewa Grzegorz",
    "japanese": "陽子 健太 Yuki Haruto 美咲 Kenji Sakura 直樹",
    "indian": "Ananya Rahul Priya Arjun Kavita Sanjay Neha Vikram",
}
LAST_NAMES = {
    "english": "Smith Johnson Brown Taylor Wilson Evans Walker Wright Hughes O'Brien Clarke Hall Baker Nguyen Martin Foster Reed Shaw",  # noqa: E501
    "german": "Müller Schmidt Weiß Krüger Vogel Brandt Schäfer Lorenz Hoffmann Groß Jäger Bauer Köhler Winter",
    "french": "Lefèvre Moreau Dubois Garnier Côté D'Amico Renard Chevalier Besson Faure",
    "dutch": "de Vries Jansen van den Berg Bakker Visser Mulder Smit Bos",
    "spanish": "García Muñoz Ferreira Rossi Conti López Núñez da Silva Ibáñez Marino Costa Vidal",
    "nordic": "Åkesson Lindqvist Nørgaard Bergström Hansen Öberg Dahl Sjöberg",
    "polish": "Wójcik Kowalska Zieliński Lewandowska Łaski Dąbrowski",
    "japanese": "佐藤 Tanaka 山本 Suzuki 中村 Kobayashi",
    "indian": "Sharma Iyer Patel Reddy Kulkarni Banerjee",
}
# Family names of several words must stay together.
COMPOUND_NAMES = {"dutch": ("de Vries", "van den Berg"), "spanish": ("da Silva",)}

FIRM_STEMS = tuple(
    """
    Halden Nordwind Brightwell Castor Delphi Elmtree Fairway Granite Harbour Isar Juniper Kestrel Lumen Meridian
    Northgate Orbis Pinnacle Quarry Redwood Solaris Tamarin Umbra Vantage Westfield Xylem Yarrow Zephyr Alpen
    Bluefin Cobalt Drift Ember Falcon Glacier Hearth Indigo Jasper Krona Lattice Magnet Nimbus Onyx Prism Quill
    Ridge Saffron Tidal Ulmer Verve Willow Axiom Borealis Cinder Dorado Everest Fjord
    """.split()
)
FIRM_TRADES = {
    "Software": ("Software", "Systems", "Cloud", "Labs", "Data"),
    "Manufacturing": ("Werke", "Industries", "Components", "Maschinenbau", "Precision"),
    "Financial Services": ("Capital", "Finance", "Leasing", "Partners"),
    "Healthcare": ("Health", "Clinics", "Medical", "Pharma"),
    "Retail": ("Retail", "Stores", "Handel", "Outfitters"),
    "Logistics": ("Logistics", "Freight", "Spedition", "Shipping"),
    "Professional Services": ("Consulting", "Advisory", "Associates"),
    "Education": ("Academy", "Institute", "Learning"),
    "Energy": ("Energy", "Power", "Solar"),
    "Construction": ("Bau", "Construction", "Builders"),
    "Media": ("Media", "Studios", "Publishing"),
    "Public Sector": ("Authority", "Council"),
    "Hospitality": ("Hotels", "Catering"),
    "Telecommunications": ("Telecom", "Networks"),
}
INDUSTRY_SHARES = (0.17, 0.15, 0.09, 0.08, 0.09, 0.07, 0.09, 0.05, 0.04, 0.05, 0.04, 0.03, 0.03, 0.02)
INDUSTRY_FIT = (0.55, 0.45, 0.3, 0.1, -0.15, 0.35, 0.1, -0.6, 0.1, -0.35, -0.2, -0.5, -0.6, 0.2)
# HubSpot keeps industries as internal option values. Source: HubSpot CRM properties guide, default company properties.
HUBSPOT_INDUSTRIES = {
    "Software": "COMPUTER_SOFTWARE",
    "Manufacturing": "MACHINERY",
    "Financial Services": "FINANCIAL_SERVICES",
    "Healthcare": "HOSPITAL_HEALTH_CARE",
    "Retail": "RETAIL",
    "Logistics": "LOGISTICS_AND_SUPPLY_CHAIN",
    "Professional Services": "MANAGEMENT_CONSULTING",
    "Education": "EDUCATION_MANAGEMENT",
    "Energy": "RENEWABLES_ENVIRONMENT",
    "Construction": "CONSTRUCTION",
    "Media": "MEDIA_PRODUCTION",
    "Public Sector": "GOVERNMENT_ADMINISTRATION",
    "Hospitality": "HOSPITALITY",
    "Telecommunications": "TELECOMMUNICATIONS",
}

SENIORITIES = ("chief", "vp", "head", "director", "manager", "senior", "staff", "student")
SENIORITY_SHARES = (0.08, 0.09, 0.11, 0.13, 0.24, 0.14, 0.17, 0.04)
SENIORITY_FIT = (0.45, 0.7, 0.65, 0.5, 0.1, -0.25, -0.55, -1.6)
FUNCTIONS = (
    ("Engineering", "Eng", "CTO", "Chief Technology Officer"),
    ("IT", "IT", "CIO", "Chief Information Officer"),
    ("Operations", "Ops", "COO", "Chief Operating Officer"),
    ("Finance", "Fin", "CFO", "Chief Financial Officer"),
    ("Marketing", "Mktg", "CMO", "Chief Marketing Officer"),
    ("Sales", "Sales", "CRO", "Chief Revenue Officer"),
    ("Human Resources", "HR", "CHRO", "Chief People Officer"),
    ("Procurement", "Purch.", "CPO", "Chief Procurement Officer"),
)
# {f} function, {l} in lower case, {a} abbreviated, {c} the chief's letters, {C} the chief in full.
TITLE_SPELLINGS = {
    "chief": ("{c}", "{C}", "{c} & Co-Founder", "Geschäftsführer", "CEO", "{c} ", "Owner"),
    "vp": ("VP {f}", "VP {a}", "vp, {l}", "Vice President {f}", "V.P. of {f}", "SVP {f}", "VP  {f}"),
    "head": ("Head of {f}", "head of {l}", "{f} Lead", "Leiter {f}", "Head {a}", "Global Head of {f}"),
    "director": ("Director of {f}", "{f} Director", "Dir. {a}", "Senior Director, {f}", "directeur {l}"),
    "manager": ("{f} Manager", "{a} manager", "Manager, {f}", "MANAGER {f}", "{f} Team Manager"),
    "senior": ("Senior {f} Specialist", "Sr. {a} Analyst", "Senior Consultant {f}", "Lead {f} Analyst"),
    "staff": ("{f} Specialist", "{f} Coordinator", "{a} Assistant", "Referent {f}", "{f} Analyst"),
    "student": ("Student", "Intern {f}", "Werkstudent", "PhD student", "Looking for new opportunities"),
}

# Salesforce LeadSource, HubSpot hs_analytics_source, share, effect on fit.
SOURCES = (
    ("Web", "ORGANIC_SEARCH", 0.26, 0.25),
    ("Demo Request", "DIRECT_TRAFFIC", 0.09, 0.95),
    ("Webinar", "OTHER_CAMPAIGNS", 0.14, 0.1),
    ("Trade Show", "OFFLINE", 0.12, -0.1),
    ("Partner Referral", "REFERRALS", 0.08, 0.7),
    ("Employee Referral", "REFERRALS", 0.04, 0.8),
    ("Advertisement", "PAID_SEARCH", 0.13, -0.15),
    ("Purchased List", "OFFLINE", 0.08, -1.1),
    ("Social", "SOCIAL_MEDIA", 0.06, -0.3),
)
FREE_MAIL = ("gmail.com", "outlook.com", "yahoo.com", "gmx.de", "proton.me", "icloud.com", "orange.fr", "web.de")
DISPOSABLE = ("mailinator.com", "guerrillamail.com", "10minutemail.com", "yopmail.com")
ROLE_ADDRESSES = ("info", "sales", "office", "kontakt", "hello", "purchasing", "support", "noreply")
INVALID_ADDRESSES = (
    "none",
    "n/a",
    "{u}@",
    "{u}(at)mail.example",
    "{u}@mail",
    "@{u}.example",
    "test@test",
    "{u}@mail..example",
)

JUNK_NAMES = (("test", "test"), ("asdf", "asdf"), ("xxx", "yyy"), ("Mickey", "Mouse"), ("-", "-"), ("qwe", "rty"))
DIRT = ("{} ", "  {}", "{}\u200b", "{} 🚀", "{}\u0007", "{}\n", "\u202e{}", "{} (do not call!!)")
LONG_TITLE_TAIL = ", responsible for everything to do with systems, data, people, processes, sites and suppliers"

CALL_SUBJECTS = ("Intro call", "Discovery call", "Follow-up call", "Pricing call", "Left voicemail", "Call")
MAIL_SUBJECTS = (
    "Pricing",
    "Your demo",
    "Next steps",
    "Security questionnaire",
    "Quick question",
    "Offer 2 of 3",
    "Re: trial",
)
MEETING_SUBJECTS = ("Product demo", "Workshop", "Kick-off", "Technical deep dive", "Lunch")
TASK_SUBJECTS = ("Prepare offer", "Call back", "Send reference", "Check credit", "Connect on LinkedIn")
NOTES = (
    "Budget cleared for Q{q}.",
    "Compares us with two others.",
    "Not the decision maker.",
    "Wants a pilot.",
    "No need at present.",
)
LOST_REASONS = ("Price", "No budget", "Competitor", "No decision", "Timing")
USER_ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Los_Angeles",
    "Europe/Paris",
    "Asia/Kolkata",
)
TEAMS = ("DACH", "UK & Nordics", "South", "North America")


def first_names(key: str) -> list[str]:
    return FIRST_NAMES[key].split()


def last_names(key: str) -> list[str]:
    compound = COMPOUND_NAMES.get(key, ())
    text = LAST_NAMES[key]
    for name in compound:
        text = text.replace(name, "")
    return [*text.split(), *compound]
