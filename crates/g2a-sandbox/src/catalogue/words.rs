//! The vocabulary of the synthetic catalogue.
//!
//! All text that shoppers read is composed from these lists. Names of games and studios are invented; names of
//! platforms and consoles (Steam, Xbox Live, ...) are facts about where a key is redeemed. The words were chosen to
//! combine well and to avoid well-known titles. The lists are formatted by hand, because rustfmt would use one line per
//! word and a thousand lines in total.

/// Adjectives that begin a title.
#[rustfmt::skip]
pub(super) const ADJECTIVES: &[&str] = &[
    "Amber", "Ashen", "Azure", "Bitter", "Boundless", "Brazen", "Brittle", "Burning", "Clockwork", "Copper",
    "Crooked", "Crimson", "Distant", "Drowned", "Electric", "Emerald", "Endless", "Faded", "Feral", "Fractured",
    "Frozen", "Gilded", "Glass", "Golden", "Veiled", "Hollowed", "Honest", "Hungry", "Idle", "Inner", "Ivory",
    "Jagged", "Kindled", "Lonely", "Lunar", "Magnetic", "Marble", "Midnight", "Molten", "Nameless", "Neon",
    "Northern", "Obsidian", "Paper", "Patient", "Phantom", "Porcelain", "Quiet", "Radiant", "Reckless", "Restless",
    "Rusted", "Salted", "Savage", "Scarlet", "Second", "Secret", "Seventh", "Splintered", "Silent", "Silver",
    "Sleepless", "Solar", "Sunken", "Tangled", "Thirsty", "Tidal", "Twisted", "Unbroken", "Velvet", "Verdant",
    "Roaming", "Wicked", "Woven",
];

/// Things and people in titles.
#[rustfmt::skip]
pub(super) const NOUNS: &[&str] = &[
    "Alchemist", "Anchor", "Archive", "Armada", "Atlas", "Boulevard", "Bastion", "Beacon", "Blade", "Botanist",
    "Bridge", "Broker", "Caravan", "Cartographer", "Cathedral", "Cipher", "Circuit", "Citadel", "Colony", "Comet",
    "Compass", "Convoy", "Corsair", "Courier", "Covenant", "Crown", "Current", "Dagger", "Dancer", "Descent",
    "Detective", "Dynasty", "Echo", "Eclipse", "Ember", "Emissary", "Engine", "Exile", "Expedition", "Falcon",
    "Farmstead", "Feather", "Festival", "Fjord", "Forge", "Fortress", "Foundry", "Frontier", "Gallery", "Gambit",
    "Garden", "Gardener", "Ghost", "Grove", "Guild", "Harbour", "Harvest", "Heir", "Heron", "Hive", "Horizon",
    "Inheritance", "Island", "Jester", "Journey", "Keeper", "Kingdom", "Labyrinth", "Lantern", "Legion", "Letter",
    "Lighthouse", "Locomotive", "Machine", "Magician", "Marauder", "Meadow", "Mechanic", "Mirage", "Mirror",
    "Monarch", "Nomad", "Oath", "Oracle", "Orchard", "Outpost", "Paladin", "Passage", "Pilgrim", "Pilot", "Prophet",
    "Railway", "Rebellion", "Relic", "Requiem", "River", "Sailor", "Sanctuary", "Scholar", "Sentinel", "Serenade",
    "Shepherd", "Signal", "Skyline", "Smuggler", "Station", "Stranger", "Summit", "Tempest", "Thicket", "Tower",
    "Traveller", "Tribunal", "Vagabond", "Valley", "Vanguard", "Verdict", "Vessel", "Village", "Voyage", "Warden",
    "Watchmaker", "Wilderness", "Workshop",
];

/// Invented places.
#[rustfmt::skip]
pub(super) const PLACES: &[&str] = &[
    "Aldermoor", "Arvandil", "Ashgrave", "Belquist", "Borvane", "Brackwater", "Caldreth", "Carrowmere", "Cindral",
    "Corvayne", "Dellhaven", "Drusk", "Dunmarrow", "Elderwick", "Eskaria", "Everglen", "Farrowdeep", "Fenwarren",
    "Galdrin", "Greywold", "Halcyra", "Harrowgate", "Hesperel", "Ilmarune", "Irongarth", "Jorvast", "Kallidor",
    "Karsk", "Kestrelmoor", "Lirien", "Lowenfeld", "Lunaris Bay", "Marrowick", "Mireholm", "Morvenna", "Nareth",
    "Nethermont", "Norrland Nine", "Oakhollow", "Orrinfall", "Ostermark", "Palanth", "Pellucid", "Quillstone",
    "Quorrin", "Ravensedge", "Redmarsh", "Sablecoast", "Saltmere", "Selkirra", "Sunderpeak", "Tarnholt", "Teralis",
    "Thornwick", "Tyrrane", "Ulmstead", "Umberfell", "Vadrienne", "Valdoren", "Vexmoor", "Westerlyn", "Whitlock",
    "Wyrmstead", "Xanderra", "Yarrowdale", "Ysmere", "Zephyra", "Zorrund",
];

/// First names of heroes.
#[rustfmt::skip]
pub(super) const HEROES: &[&str] = &[
    "Ada", "Anselm", "Beatrix", "Bram", "Cosima", "Cyril", "Dagny", "Della", "Edmund", "Elspeth", "Fabian", "Freya",
    "Gideon", "Greta", "Hollis", "Ida", "Ines", "Jasper", "Juno", "Kasimir", "Klara", "Leopold", "Linnea", "Magnus",
    "Mirabel", "Nadia", "Nestor", "Odile", "Orson", "Petra", "Philippa", "Quentin", "Rosalind", "Rufus", "Sabine",
    "Silas", "Tamsin", "Theodora", "Ulric", "Viola", "Wanda", "Wilfred", "Xenia", "Yorick", "Zelma", "Zoltan",
];

/// Actions of heroes, followed by "the" and a noun.
#[rustfmt::skip]
pub(super) const DEEDS: &[&str] = &[
    "Beyond", "Beneath", "Chasing", "Crossing", "Defending", "Escaping", "Finding", "Forging", "Guarding", "Hunting",
    "Leaving", "Mending", "Outrunning", "Painting", "Raising", "Remembering", "Riding", "Sailing", "Saving",
    "Stealing", "Taming", "Under", "Waking", "Winning",
];

/// First halves of one-word titles.
#[rustfmt::skip]
pub(super) const FIRST_HALVES: &[&str] = &[
    "Arc", "Ash", "Astro", "Bolt", "Bramble", "Brine", "Chrono", "Cloud", "Cog", "Coral", "Morn", "Drift", "Dusk",
    "Ember", "Fern", "Flint", "Frost", "Gale", "Glimmer", "Grim", "Hex", "Hollow", "Iron", "Jade", "Lumen", "Moss",
    "Myth", "Nova", "Onyx", "Pyre", "Rune", "Rust", "Sable", "Shard", "Sky", "Thorn", "Umbra", "Vapor", "Volt",
    "Wisp",
];

/// Second halves of one-word titles.
#[rustfmt::skip]
pub(super) const SECOND_HALVES: &[&str] = &[
    "bane", "bloom", "bound", "brand", "breaker", "burrow", "crest", "current", "drifter", "field", "fire", "flight",
    "gate", "glade", "guard", "haven", "heart", "keeper", "kin", "light", "line", "mancer", "mark", "mire", "path",
    "point", "reach", "rider", "runner", "shift", "shore", "song", "spire", "stead", "strider", "tide", "vault",
    "wake", "weaver",
];

/// Subtitles of sequels and expansions, after the colon.
#[rustfmt::skip]
pub(super) const SUBTITLES: &[&str] = &[
    "A New Accord", "Aftermath Protocol", "All Our Yesterdays", "Ashes and Tide", "Before the Thaw", "Broken Compass",
    "Call of the Deep", "Chains of Winter", "City Without Sleep", "Crossroads", "Daughters of Salt",
    "Edge of the Map", "Embers Rising", "First Light", "Five Seasons", "Ghosts of the Line", "Hearts of Tin",
    "Homeward", "House of Mirrors", "In Cold Water", "Kings of Nothing", "Last Orders", "Law of Rivers", "Lights Out",
    "Long Shadows", "Maps and Monsters", "Night Shift", "No Safe Harbour", "Of Wolves and Wire", "One More Mile",
    "Out of Tune", "Paper Crowns", "Point of Return", "Quiet Hours", "Roots and Wings", "Rules of the Road",
    "Second Dawn", "Seven Doors", "Sons of the Orchard", "Stolen Thunder", "The Gathering Dark", "The Glass Court",
    "The Last Lantern", "The Long Way Down", "The Other Shore", "The Tin Parade", "Threads of Gold",
    "Under New Stars", "Unwritten", "What the Sea Gave Back",
];

/// Invented studios. A developer is any of them; a publisher is one of the first [`PUBLISHERS`].
#[rustfmt::skip]
pub(super) const STUDIOS: &[&str] = &[
    "Nine Herons Interactive", "Paper Lantern Works", "Copper Kettle Games", "Tall Chimney", "Ostrava Lights",
    "Half Past Eleven", "Marmalade Foundry", "Quiet Engine", "Saltbox Digital", "North Stair Games",
    "Borrowed Bicycle", "Ninth Floor Studio", "Clever Badger", "Driftglass Entertainment", "Velvet Anvil",
    "Weatherhouse", "Ten Thousand Moths", "Bramblewick Interactive", "Lumberjack Arcade", "Sleepy Volcano",
    "Thimble & Thread", "Green Umbrella Games", "Old Harbour Interactive", "Second Breakfast Software",
    "Kite & Anchor", "Antler Bay", "Pocket Cathedral", "Ember Street", "Tin Whistle Studios", "Morning Freight",
    "Wolfgang's Attic", "Seven Ferries", "Cardboard Orbit", "Lucky Heron", "Tangerine Tram", "Bright Ditch",
    "Polar Postbox", "Rubber Stamp Games", "Orchid Machine", "Slow Comet", "Fernhill Digital", "Blue Door Bureau",
    "Cinder & Oak", "Gravel Road Games", "Juniper Signal", "Knotwork", "Loud Museum", "Midday Owls", "Nettle Soup",
    "Open Cupboard", "Patchwork Planet", "Quarry Nine", "Rainy Tuesday", "Short Ladder", "Tidepool Assembly",
    "Upside Lighthouse", "Violet Freighter", "Wooden Satellite", "Xylo Workshop", "Yellow Staircase", "Zinc Garden",
    "Adriatic Pixel", "Bakehouse Eight", "Candlewax Collective", "Dovetail Odyssey", "Eastern Gable",
    "Foxglove Circuit", "Gingerbread Logic", "Hibernal", "Inkwell Raccoon", "Jelly Compass", "Kelp Forest Forty",
    "Lighthouse Keepers Union", "Mossy Keyboard", "Noonday Giants", "Overcoat", "Pencil Museum", "Quince & Quill",
    "Red Thermos", "Snowed Inn Games", "Tuba Dept.", "Umlaut Heavy Industries", "Vast Cellar", "Wicker Rocket",
];

/// Number of [`STUDIOS`] that are also publishers.
pub(super) const PUBLISHERS: usize = 26;

/// A genre: its category name, the subject and the gameplay of its games, its usual tags, and its cautions.
pub(super) struct Genre {
    /// Category name as shown in the shop.
    pub(super) name: &'static str,
    /// Opening sentences of a description; `{T}` is the title, `{P}` a place.
    pub(super) openings: &'static [&'static str],
    /// Sentences about the gameplay.
    pub(super) play: &'static [&'static str],
    /// Items of the feature list.
    pub(super) features: &'static [&'static str],
    /// Suitable [`TAGS`], by name.
    pub(super) tags: &'static [&'static str],
    /// The genres that it is most often combined with.
    pub(super) mixes: &'static [&'static str],
    /// Whether its games are violent.
    pub(super) violent: bool,
}

/// All genres; their category ids are [`GENRE_ID_BASE`] plus the position.
pub(super) const GENRES: &[Genre] = &[
    Genre {
        name: "Action",
        openings: &[
            "{T} drops you into the alleys of {P}, where every rooftop is a way out and every door a way in.",
            "Fast, loud and fair: {T} is a hand-tuned action game about the last good crew in {P}.",
        ],
        play: &[
            "Chain strikes, throws and improvised weapons, and learn when to stop running.",
            "Each district changes hands depending on whom you help, and enemies remember how you fought the last time.",
        ],
        features: &[
            "Combat without a single cut",
            "Over 40 upgrades that change how you move",
            "A rival who learns your habits",
        ],
        tags: &[
            "Open World",
            "Third Person",
            "Fast-Paced",
            "Co-op",
            "Story Rich",
            "Noir",
            "Hack and Slash",
        ],
        mixes: &["Adventure", "RPG", "Shooter"],
        violent: true,
    },
    Genre {
        name: "Adventure",
        openings: &[
            "In {T} a letter without a sender brings you to {P}, a town that everybody remembers differently.",
            "{T} is a journey on foot through {P}, told in small encounters and large views.",
        ],
        play: &[
            "Talk your way through a cast of forty, keep a journal, and decide which truths to pass on.",
            "Puzzles grow from the place itself; nothing is locked behind a number.",
        ],
        features: &[
            "Three endings, none of them wrong",
            "A hand-painted world",
            "A journal that writes itself",
        ],
        tags: &[
            "Story Rich",
            "Exploration",
            "Atmospheric",
            "Choices Matter",
            "Noir",
            "Hand-Drawn",
            "Point & Click",
        ],
        mixes: &["Puzzle", "RPG", "Visual Novel"],
        violent: false,
    },
    Genre {
        name: "RPG",
        openings: &[
            "The crown of {P} is for sale, and in {T} you are the one who carries it to the buyer.",
            "{T} is a role-playing game of oaths and debts, set in the border country of {P}.",
        ],
        play: &[
            "Build a character from six callings, gather companions with plans of their own, and live with what you promised.",
            "Battles are turn by turn and short; the road between them is where a hero is made.",
        ],
        features: &[
            "80 hours of story and as many side roads",
            "Companions who leave when they disagree",
            "Crafting with found recipes",
        ],
        tags: &[
            "Open World",
            "Fantasy",
            "Character Customization",
            "Choices Matter",
            "Turn-Based",
            "Loot",
            "Story Rich",
        ],
        mixes: &["Adventure", "Action", "Strategy"],
        violent: true,
    },
    Genre {
        name: "Strategy",
        openings: &[
            "{T} hands you a map of {P}, four rivals and one winter to be ready.",
            "Lead a small people through three ages in {T}, from the first mill in {P} to the last treaty.",
        ],
        play: &[
            "Supply lines decide more wars than swords; plan them, guard them, cut those of others.",
            "Every treaty is written clause by clause and every clause can be broken, at a price.",
        ],
        features: &[
            "Campaign of 24 maps and a random map maker",
            "Hot seat and online play for eight",
            "A rival AI that does not cheat",
        ],
        tags: &[
            "Turn-Based",
            "Real-Time",
            "Historical",
            "Base Building",
            "Multiplayer",
            "Tactical",
            "Replay Value",
        ],
        mixes: &["Simulation", "RPG", "Tower Defense"],
        violent: false,
    },
    Genre {
        name: "Simulation",
        openings: &[
            "In {T} you take over a run-down workshop in {P}, with a loan, a cat and a very long list.",
            "{T} simulates every valve, wire and timetable of {P}, and then lets the weather in.",
        ],
        play: &[
            "Begin with one bench; end with a company that runs without you, if you like it that way.",
            "Read the gauges, listen to the machine, and fix it before it stops.",
        ],
        features: &[
            "Sandbox and career modes",
            "Workshop support for your own parts",
            "Weather and seasons that matter",
        ],
        tags: &[
            "Management",
            "Sandbox",
            "Relaxing",
            "Economy",
            "Crafting",
            "Moddable",
            "Realistic",
        ],
        mixes: &["Strategy", "City Builder", "Casual"],
        violent: false,
    },
    Genre {
        name: "Shooter",
        openings: &[
            "{T} is a first-person shooter about the thirty minutes before {P} falls.",
            "Hold the bridge at {P}: {T} brings tight squads, short rounds and weapons with a weight.",
        ],
        play: &[
            "Walls break, lights go out, and a plan lasts for as long as the plaster does.",
            "Six roles that need each other, no role that wins alone.",
        ],
        features: &[
            "Online matches for up to 32",
            "A full single-player campaign",
            "Dedicated servers you can host yourself",
        ],
        tags: &[
            "First Person",
            "Multiplayer",
            "Competitive",
            "Fast-Paced",
            "Sci-Fi",
            "Military",
            "Co-op",
        ],
        mixes: &["Action", "Horror", "Battle Royale"],
        violent: true,
    },
    Genre {
        name: "Horror",
        openings: &[
            "The power in {P} fails at nine each night; {T} begins at five to.",
            "{T} is slow, cold and quiet, until {P} notices you.",
        ],
        play: &[
            "You cannot fight what lives here. You can listen, hide, and leave doors ajar for the way back.",
            "Light is the only currency, and everybody wants some.",
        ],
        features: &[
            "Sound that is part of the rules",
            "No two nights alike",
            "Optional gentle mode for the curious",
        ],
        tags: &[
            "Psychological",
            "Survival Horror",
            "First Person",
            "Atmospheric",
            "Stealth",
            "Dark",
        ],
        mixes: &["Adventure", "Survival", "Puzzle"],
        violent: true,
    },
    Genre {
        name: "Racing",
        openings: &[
            "From the harbour road to the ridge above {P}: {T} is about driving a car you can hear.",
            "{T} puts ninety machines on forty kilometres of road around {P}.",
        ],
        play: &[
            "Tune, test, and take the line nobody else sees; damage costs time, not only paint.",
            "A season is twelve weekends, and rain is forecast for most of them.",
        ],
        features: &[
            "Split screen for four",
            "Wheel support out of the box",
            "Weekly events with ghosts",
        ],
        tags: &[
            "Arcade",
            "Realistic",
            "Split Screen",
            "Multiplayer",
            "Controller Support",
            "Open World",
        ],
        mixes: &["Sports", "Simulation"],
        violent: false,
    },
    Genre {
        name: "Sports",
        openings: &[
            "{T} follows one small club in {P} from muddy Sundays to the cup.",
            "Simple to pick up, hard to put down: {T} is a sports game for the sofa.",
        ],
        play: &[
            "Passing is aimed, tackling is timed, and the crowd is on somebody's side.",
            "Manage the week, play the weekend, read about both in the local paper.",
        ],
        features: &[
            "Local matches for up to eight",
            "Career over 15 seasons",
            "Create your own league",
        ],
        tags: &[
            "Local Multiplayer",
            "Competitive",
            "Controller Support",
            "Family Friendly",
            "Management",
        ],
        mixes: &["Racing", "Simulation", "Casual"],
        violent: false,
    },
    Genre {
        name: "Puzzle",
        openings: &[
            "{T} is a box of two hundred small rooms, each with one idea, all of them from {P}.",
            "A clockmaker of {P} left no will, only {T}.",
        ],
        play: &[
            "Nothing is timed. Undo goes back to the beginning. Hints are honest.",
            "Rules combine until they surprise you, and then they make sense.",
        ],
        features: &[
            "Over 200 puzzles without filler",
            "Level editor with sharing",
            "Playable with one hand",
        ],
        tags: &[
            "Relaxing",
            "Minimalist",
            "Logic",
            "Family Friendly",
            "Pixel Graphics",
            "Short",
        ],
        mixes: &["Adventure", "Casual", "Platformer"],
        violent: false,
    },
    Genre {
        name: "Platformer",
        openings: &[
            "Run, hang and fall upwards: {T} is a precise platformer in the towers of {P}.",
            "{T} gives one small hero one grappling hook and all of {P} to climb.",
        ],
        play: &[
            "Every screen is one thought long, and every death half a second.",
            "Find the wings early or not at all; the game can be finished either way.",
        ],
        features: &[
            "120 hand-made levels",
            "Time trials with downloadable ghosts",
            "Assist options for everybody",
        ],
        tags: &[
            "Pixel Graphics",
            "2D",
            "Difficult",
            "Metroidvania",
            "Controller Support",
            "Great Soundtrack",
        ],
        mixes: &["Action", "Puzzle"],
        violent: false,
    },
    Genre {
        name: "Survival",
        openings: &[
            "{T} leaves you on the coast of {P} with a knife, a flare and bad advice.",
            "Forty days until the ship returns to {P}. {T} counts them with you.",
        ],
        play: &[
            "Build a shelter that fits the wind, keep the fire, and learn which berries lie.",
            "Other survivors trade, bargain, and sometimes only pretend to.",
        ],
        features: &[
            "Online co-op for four",
            "A living map that remembers fires",
            "Permanent consequences, if you wish",
        ],
        tags: &[
            "Crafting",
            "Open World",
            "Co-op",
            "Base Building",
            "Sandbox",
            "Survival Horror",
        ],
        mixes: &["Adventure", "Simulation", "Horror"],
        violent: true,
    },
    Genre {
        name: "Fighting",
        openings: &[
            "Eighteen fighters, one lantern-lit square in {P}: {T} is about reading the other person.",
            "{T} has three buttons and no end of depth.",
        ],
        play: &[
            "Spacing wins rounds; combos only finish them.",
            "A training room that explains why you lost, frame by frame.",
        ],
        features: &["Rollback netcode", "Story for every fighter", "Cross-play tournaments"],
        tags: &[
            "Competitive",
            "Local Multiplayer",
            "2D",
            "Controller Support",
            "Anime",
            "Difficult",
        ],
        mixes: &["Action", "Sports"],
        violent: true,
    },
    Genre {
        name: "City Builder",
        openings: &[
            "{T} begins with a well in {P} and ends, if all goes well, with a tram.",
            "A city is an argument: {T} lets you lead it in {P} for two hundred years.",
        ],
        play: &[
            "Streets are free; moving what people love is not.",
            "Follow any citizen home and find out what your budget means.",
        ],
        features: &["Maps of 30 square kilometres", "Scenario editor", "No timers, no gems"],
        tags: &[
            "Management",
            "Sandbox",
            "Economy",
            "Base Building",
            "Relaxing",
            "Historical",
        ],
        mixes: &["Simulation", "Strategy"],
        violent: false,
    },
    Genre {
        name: "Visual Novel",
        openings: &[
            "{T} takes place in one night train to {P} and eleven compartments.",
            "A reading game about summers in {P}, {T} asks little and gives back a lot.",
        ],
        play: &[
            "Choose what to say, and as often what not to.",
            "A flowchart shows where you have been, never where to go.",
        ],
        features: &[
            "Full voice acting",
            "Seven routes",
            "Read at your own pace, with one button",
        ],
        tags: &["Anime", "Choices Matter", "Story Rich", "Romance", "Noir", "Hand-Drawn"],
        mixes: &["Adventure", "Casual"],
        violent: false,
    },
    Genre {
        name: "Roguelike",
        openings: &[
            "The mine below {P} is dug anew each time {T} begins.",
            "{T} is a card, a candle and a staircase, and {P} is at the bottom.",
        ],
        play: &[
            "A run takes half an hour; what you learn stays, what you carried does not.",
            "Four hundred items, and most of them do something foolish together.",
        ],
        features: &[
            "Daily runs with a shared seed",
            "19 unlockable heroes",
            "Every run tells why it ended",
        ],
        tags: &[
            "Procedural Generation",
            "Permadeath",
            "Replay Value",
            "Pixel Graphics",
            "Difficult",
            "Deckbuilding",
        ],
        mixes: &["RPG", "Action", "Strategy"],
        violent: true,
    },
    Genre {
        name: "Casual",
        openings: &[
            "{T} is a tea shop in {P}; you pour, they talk.",
            "Ten quiet minutes a day in {P}: {T} is made for the end of the evening.",
        ],
        play: &[
            "Sort, plant, decorate. Nobody is in a hurry.",
            "Visitors bring stories and the odd recipe.",
        ],
        features: &["No failing, no ads", "Photo mode", "Plays well on old machines"],
        tags: &["Relaxing", "Family Friendly", "Cozy", "Short", "Hand-Drawn"],
        mixes: &["Puzzle", "Simulation"],
        violent: false,
    },
    Genre {
        name: "Tower Defense",
        openings: &[
            "They come along three roads to {P}; {T} gives you the hills in between.",
            "{T} is a tower defense game in which the towers walk.",
        ],
        play: &[
            "Bend the road, save for the big bell, and do not trust the ferry.",
            "Towers tire, so rest them in turns.",
        ],
        features: &["60 maps, endless mode", "Two-player co-op", "Weekly challenge"],
        tags: &["Tactical", "Co-op", "Replay Value", "Real-Time", "Fantasy"],
        mixes: &["Strategy", "Casual"],
        violent: false,
    },
    Genre {
        name: "Battle Royale",
        openings: &[
            "Sixty enter the festival at {P} and one float is left: {T} is a battle royale with manners.",
            "{T} shrinks the map of {P} street by street.",
        ],
        play: &[
            "No building, no classes; what you find is what you are.",
            "Rounds take twelve minutes, and losing opens the next one.",
        ],
        features: &[
            "Solo, duo and squad queues",
            "Cross-play",
            "Seasons that reward play, not payment",
        ],
        tags: &["Multiplayer", "Competitive", "Third Person", "Loot", "Fast-Paced"],
        mixes: &["Shooter", "Action"],
        violent: true,
    },
    Genre {
        name: "Music",
        openings: &[
            "{T} turns the streets of {P} into one long score.",
            "Tap, hold, breathe: {T} is a rhythm game with a band from {P} that does not exist.",
        ],
        play: &[
            "Play your own files or any of the 64 songs written for the game.",
            "Miss a note and the band improvises around you.",
        ],
        features: &[
            "64 original songs",
            "Works with drums and dance mats",
            "Calibration in ten seconds",
        ],
        tags: &["Great Soundtrack", "Arcade", "Difficult", "Short", "Controller Support"],
        mixes: &["Casual", "Platformer"],
        violent: false,
    },
];

/// All tags; their category ids are [`TAG_ID_BASE`] plus the position.
#[rustfmt::skip]
pub(super) const TAGS: &[&str] = &[
    "2D", "Anime", "Arcade", "Atmospheric", "Base Building", "Character Customization", "Choices Matter", "Co-op",
    "Competitive", "Controller Support", "Cozy", "Crafting", "Dark", "Deckbuilding", "Difficult", "Economy",
    "Exploration", "Family Friendly", "Fantasy", "Fast-Paced", "First Person", "Great Soundtrack", "Hack and Slash",
    "Hand-Drawn", "Historical", "Local Multiplayer", "Logic", "Loot", "Management", "Metroidvania", "Military",
    "Minimalist", "Moddable", "Multiplayer", "Noir", "Open World", "Permadeath", "Pixel Graphics", "Point & Click",
    "Procedural Generation", "Psychological", "Real-Time", "Realistic", "Relaxing", "Replay Value", "Romance",
    "Sandbox", "Sci-Fi", "Short", "Singleplayer", "Split Screen", "Stealth", "Story Rich", "Survival Horror",
    "Tactical", "Third Person", "Turn-Based",
];

/// Category id of the root category "Games", as seen in real exports.
pub(super) const GAMES_ID: u64 = 189;
/// Category id of "DLC".
pub(super) const DLC_ID: u64 = 190;
/// Category id of the first genre.
pub(super) const GENRE_ID_BASE: u64 = 1_000;
/// Category id of the first tag.
pub(super) const TAG_ID_BASE: u64 = 2_000;

/// A platform on which a key is redeemed, and its spellings in G2A's product names.
pub(super) struct Platform {
    /// Value of the `platform` field.
    pub(super) name: &'static str,
    /// The device in brackets in the longer form of names.
    pub(super) device: &'static str,
    /// The kind of key in a name, e.g. `Steam Key`.
    pub(super) key: &'static str,
    /// Whether its games have system requirements.
    pub(super) computer: bool,
}

/// Platforms, the most common first.
pub(super) const PLATFORMS: &[Platform] = &[
    Platform {
        name: "Steam",
        device: "PC",
        key: "Steam Key",
        computer: true,
    },
    Platform {
        name: "Xbox Live",
        device: "Xbox Series X/S",
        key: "Xbox Live Key",
        computer: false,
    },
    Platform {
        name: "PSN",
        device: "PS5",
        key: "PSN Key",
        computer: false,
    },
    Platform {
        name: "Epic",
        device: "PC",
        key: "Epic Games Key",
        computer: true,
    },
    Platform {
        name: "GOG",
        device: "PC",
        key: "GOG.COM Key",
        computer: true,
    },
    Platform {
        name: "Nintendo",
        device: "Nintendo Switch",
        key: "Nintendo eShop Key",
        computer: false,
    },
    Platform {
        name: "Ubisoft Connect",
        device: "PC",
        key: "Ubisoft Connect Key",
        computer: true,
    },
    Platform {
        name: "EA App",
        device: "PC",
        key: "EA App Key",
        computer: true,
    },
    Platform {
        name: "Battle.net",
        device: "PC",
        key: "Battle.net Key",
        computer: true,
    },
    Platform {
        name: "Rockstar",
        device: "PC",
        key: "Rockstar Key",
        computer: true,
    },
    Platform {
        name: "Microsoft Store",
        device: "PC",
        key: "Microsoft Store Key",
        computer: true,
    },
];

/// Regions in the spelling of names and of the `region` field, the most common first.
pub(super) const REGIONS: &[&str] = &[
    "GLOBAL",
    "EUROPE",
    "UNITED STATES",
    "NORTH AMERICA",
    "UNITED KINGDOM",
    "TURKEY",
    "LATAM",
    "ROW",
    "RU/CIS",
    "ASIA",
    "BRAZIL",
    "POLAND",
    "GERMANY",
    "ARGENTINA",
];

/// Editions, appended to a title.
pub(super) const EDITIONS: &[&str] = &[
    "Deluxe Edition",
    "Gold Edition",
    "Game of the Year Edition",
    "Complete Edition",
    "Collector's Edition",
    "Digital Premium Edition",
    "Ultimate Edition",
    "Anniversary Edition",
];

/// Add-ons, appended to a title.
pub(super) const ADD_ONS: &[&str] = &[
    "Season Pass",
    "Soundtrack",
    "Expansion Pass",
    "Founder's Pack",
    "Artbook",
    "Skin Bundle",
    "Extra Missions",
    "Map Pack",
];

/// Languages in descriptions, the most common first.
pub(super) const LANGUAGES: &[&str] = &[
    "English",
    "German",
    "French",
    "Spanish",
    "Polish",
    "Italian",
    "Portuguese",
    "Japanese",
    "Korean",
    "Simplified Chinese",
    "Czech",
    "Turkish",
    "Ukrainian",
];
