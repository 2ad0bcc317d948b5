//! What names mean: services, devices, regions, genres and languages as G2A's titles and fields write them.

/// Where keys are activated.
pub(super) struct Service {
    /// As the shop shows it.
    pub(super) name: &'static str,
    /// The device it runs on when nothing else says so.
    pub(super) device: &'static str,
    /// Words that mean it wherever they stand in a title, lower case.
    pub(super) phrases: &'static [&'static str],
    /// Words that mean it only in front of `Key` and the like, because titles use them too.
    pub(super) ambiguous: &'static [&'static str],
}

/// All services that are recognised.
pub(super) const SERVICES: &[Service] = &[
    Service { name: "Steam", device: "PC", phrases: &["steam key", "steam gift"], ambiguous: &["steam"] },
    Service { name: "Epic Games", device: "PC", phrases: &["epic games"], ambiguous: &["epic"] },
    Service { name: "GOG", device: "PC", phrases: &["gog.com"], ambiguous: &["gog"] },
    Service { name: "EA App", device: "PC", phrases: &["ea app", "ea play"], ambiguous: &["origin", "ea"] },
    Service { name: "Ubisoft Connect", device: "PC", phrases: &["ubisoft connect", "uplay"], ambiguous: &["ubisoft"] },
    Service { name: "Battle.net", device: "PC", phrases: &["battle.net"], ambiguous: &["blizzard"] },
    Service { name: "Xbox Live", device: "Xbox", phrases: &["xbox live"], ambiguous: &["xbox"] },
    Service { name: "PlayStation Network", device: "PlayStation", phrases: &["psn", "playstation network"], ambiguous: &["playstation"] },
    Service { name: "Nintendo eShop", device: "Nintendo Switch", phrases: &["nintendo eshop"], ambiguous: &["nintendo"] },
    Service { name: "Rockstar", device: "PC", phrases: &["rockstar social club"], ambiguous: &["rockstar", "rockstar games"] },
    Service { name: "Microsoft Store", device: "PC", phrases: &["microsoft store", "windows store"], ambiguous: &["microsoft"] },
    Service { name: "Bethesda", device: "PC", phrases: &["bethesda.net"], ambiguous: &["bethesda"] },
];

/// What follows a service's name in a title.
pub(super) const AFTER_SERVICE: &[&str] = &["key", "keys", "gift", "account", "code", "cd-key", "cd", "activation", "card", "pc"];

/// Devices: how titles and categories write them, lower case, and how the shop does.
pub(super) const DEVICES: &[(&str, &str)] = &[
    ("pc", "PC"),
    ("windows", "PC"),
    ("mac", "Mac"),
    ("macos", "Mac"),
    ("linux", "Linux"),
    ("ps3", "PlayStation 3"),
    ("playstation 3", "PlayStation 3"),
    ("ps4", "PlayStation 4"),
    ("playstation 4", "PlayStation 4"),
    ("ps5", "PlayStation 5"),
    ("playstation 5", "PlayStation 5"),
    ("ps vita", "PlayStation Vita"),
    ("playstation", "PlayStation"),
    ("xbox 360", "Xbox 360"),
    ("xbox one", "Xbox One"),
    ("xbox series x/s", "Xbox Series X/S"),
    ("xbox series x|s", "Xbox Series X/S"),
    ("xbox series x", "Xbox Series X/S"),
    ("xbox", "Xbox"),
    ("nintendo switch", "Nintendo Switch"),
    ("nintendo switch 2", "Nintendo Switch 2"),
    ("nintendo 3ds", "Nintendo 3DS"),
    ("nintendo wii u", "Nintendo Wii U"),
    ("android", "Android"),
    ("ios", "iOS"),
];

/// Regions as G2A's titles write them: capital letters.
pub(super) const REGIONS: &[&str] = &[
    "GLOBAL", "WORLDWIDE", "ROW", "EUROPE", "EASTERN EUROPE", "WESTERN EUROPE", "EU", "EMEA", "MENA", "MIDDLE EAST",
    "AFRICA", "ASIA", "APAC", "OCEANIA", "NORTH AMERICA", "SOUTH AMERICA", "LATIN AMERICA", "LATAM", "RU/CIS", "RU", "CIS",
    "UNITED STATES", "US", "USA", "CANADA", "MEXICO", "ARGENTINA", "BRAZIL", "CHILE", "COLOMBIA", "PERU",
    "UNITED KINGDOM", "UK", "IRELAND", "FRANCE", "GERMANY", "AUSTRIA", "SWITZERLAND", "NETHERLANDS", "BELGIUM",
    "LUXEMBOURG", "ITALY", "SPAIN", "PORTUGAL", "DENMARK", "SWEDEN", "NORWAY", "FINLAND", "POLAND", "CZECH REPUBLIC",
    "SLOVAKIA", "HUNGARY", "ROMANIA", "BULGARIA", "GREECE", "CROATIA", "UKRAINE", "RUSSIA", "TURKEY", "ISRAEL",
    "SAUDI ARABIA", "UNITED ARAB EMIRATES", "KUWAIT", "QATAR", "EGYPT", "SOUTH AFRICA", "NIGERIA", "INDIA", "CHINA",
    "JAPAN", "SOUTH KOREA", "KOREA", "TAIWAN", "HONG KONG", "SINGAPORE", "MALAYSIA", "INDONESIA", "PHILIPPINES",
    "THAILAND", "VIETNAM", "AUSTRALIA", "NEW ZEALAND",
];

/// Genres: how categories write them, lower case, and how the shop does. What is not here becomes a tag.
pub(super) const GENRES: &[(&str, &str)] = &[
    ("action", "Action"),
    ("adventure", "Adventure"),
    ("action-adventure", "Action-Adventure"),
    ("rpg", "RPG"),
    ("role-playing", "RPG"),
    ("role playing", "RPG"),
    ("jrpg", "JRPG"),
    ("mmo", "MMO"),
    ("mmorpg", "MMO"),
    ("strategy", "Strategy"),
    ("rts", "Strategy"),
    ("simulation", "Simulation"),
    ("simulator", "Simulation"),
    ("simulators", "Simulation"),
    ("sports", "Sports"),
    ("sport", "Sports"),
    ("racing", "Racing"),
    ("shooter", "Shooter"),
    ("shooters", "Shooter"),
    ("fps", "Shooter"),
    ("puzzle", "Puzzle"),
    ("logic games", "Puzzle"),
    ("platformer", "Platformer"),
    ("platform games", "Platformer"),
    ("horror", "Horror"),
    ("survival", "Survival"),
    ("fighting", "Fighting"),
    ("casual", "Casual"),
    ("indie", "Indie"),
    ("visual novel", "Visual Novel"),
    ("point & click", "Point & Click"),
    ("roguelike", "Roguelike"),
    ("roguelite", "Roguelike"),
    ("metroidvania", "Metroidvania"),
    ("battle royale", "Battle Royale"),
    ("hack and slash", "Hack and Slash"),
    ("hack & slash", "Hack and Slash"),
    ("tower defense", "Tower Defense"),
    ("city builder", "City Builder"),
    ("card game", "Card Game"),
    ("rhythm", "Rhythm"),
    ("music", "Music"),
    ("management", "Management"),
    ("open world", "Open World"),
    ("noir", "Noir"),
    ("vr", "VR"),
];

/// Categories that say nothing about a game: roots of G2A's tree. They stay categories and become no tags.
pub(super) const ROOTS: &[&str] = &["games", "gaming", "pc games", "video games", "software", "products"];

/// Categories that mean that people play together, lower case.
pub(super) const TOGETHER: &[&str] = &[
    "multiplayer", "multi-player", "online multiplayer", "local multiplayer", "co-op", "coop", "cooperative",
    "online co-op", "local co-op", "split screen", "split-screen", "mmo", "mmorpg", "massively multiplayer", "pvp",
    "battle royale", "party",
];

/// Languages by their English name, lower case, to ISO 639-1.
pub(super) const LANGUAGES: &[(&str, &str)] = &[
    ("arabic", "ar"), ("bulgarian", "bg"), ("chinese", "zh"), ("simplified chinese", "zh"), ("traditional chinese", "zh"),
    ("croatian", "hr"), ("czech", "cs"), ("danish", "da"), ("dutch", "nl"), ("english", "en"), ("finnish", "fi"),
    ("french", "fr"), ("german", "de"), ("greek", "el"), ("hebrew", "he"), ("hindi", "hi"), ("hungarian", "hu"),
    ("indonesian", "id"), ("italian", "it"), ("japanese", "ja"), ("korean", "ko"), ("latin american spanish", "es"),
    ("norwegian", "no"), ("polish", "pl"), ("portuguese", "pt"), ("brazilian portuguese", "pt"), ("romanian", "ro"),
    ("russian", "ru"), ("serbian", "sr"), ("slovak", "sk"), ("spanish", "es"), ("swedish", "sv"), ("thai", "th"),
    ("turkish", "tr"), ("ukrainian", "uk"), ("vietnamese", "vi"),
];

/// Age-rating marks and what they warn of.
pub(super) const PEGI: &[(&str, &str)] = &[
    ("pegi_violence", "violence"),
    ("pegi_profanity", "bad language"),
    ("pegi_discrimination", "discrimination"),
    ("pegi_drugs", "drugs"),
    ("pegi_fear", "fear"),
    ("pegi_gambling", "gambling"),
    ("pegi_online", "online play"),
    ("pegi_sex", "sex"),
];
