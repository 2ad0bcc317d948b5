create type "Role" as enum ('USER', 'ADMIN');
create type "OrderStatus" as enum ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED');
create type "PaymentStatus" as enum ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED');
create type "TransactionType" as enum ('TOP_UP', 'PURCHASE', 'REFUND');
create table users (id text primary key, email text not null unique, "passwordHash" text not null, nickname text default 'Newbie Guy',
    "firstName" text, "lastName" text, avatar text, balance numeric(10,2) not null default 0, role "Role" not null default 'USER',
    "emailVerified" boolean not null default false, "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null default current_timestamp);
create table games (id text primary key, title text not null, slug text not null unique, description text not null,
    "shortDescription" text, price numeric(10,2) not null, "originalPrice" numeric(10,2), discount integer default 0,
    currency text not null default 'EUR', image text not null default '', images text[], "inStock" boolean not null default true,
    "g2aProductId" text, "g2aStock" boolean not null default false, "g2aLastSync" timestamp(3),
    "releaseDate" timestamp(3) not null default '2020-01-01', "metacriticScore" integer, "userRating" numeric(3,2),
    "ageRating" text, multiplayer boolean not null default false, "activationService" text, region text, publisher text,
    "isBestSeller" boolean not null default false, "isNew" boolean not null default false,
    "isPreorder" boolean not null default false, "ratingCritic" smallint, "ratingUser" smallint, languages text[],
    "createdAt" timestamp(3) not null default current_timestamp, "updatedAt" timestamp(3) not null default current_timestamp);
create table orders (id text primary key, "userId" text not null references users on delete cascade,
    status "OrderStatus" not null default 'PENDING', subtotal numeric(10,2) not null, discount numeric(10,2) not null default 0,
    total numeric(10,2) not null, "paymentMethod" text, "paymentStatus" "PaymentStatus", "promoCode" text,
    "createdAt" timestamp(3) not null default current_timestamp, "completedAt" timestamp(3), "externalOrderId" text unique);
create table order_items (id text primary key, "orderId" text not null references orders on delete cascade,
    "gameId" text not null references games, quantity integer not null default 1, price numeric(10,2) not null,
    discount numeric(10,2) not null default 0);
create table game_keys (id text primary key, "gameId" text not null references games on delete cascade, key text not null unique,
    "orderId" text references orders on delete set null, activated boolean not null default false, "activationDate" timestamp(3),
    "createdAt" timestamp(3) not null default current_timestamp);
create table transactions (id text primary key, "userId" text not null references users on delete cascade,
    "orderId" text unique references orders on delete set null, type "TransactionType" not null, amount numeric(10,2) not null,
    currency text not null default 'EUR', method text, status "PaymentStatus" not null, description text,
    "transactionHash" text unique, "gatewayResponse" jsonb, "createdAt" timestamp(3) not null default current_timestamp);
create table cart_items ("userId" text not null references users on delete cascade, "gameId" text not null references games on delete cascade,
    quantity integer not null default 1, "addedAt" timestamp(3) not null default current_timestamp, primary key ("userId", "gameId"));
create table wishlist ("userId" text not null references users on delete cascade, "gameId" text not null references games on delete cascade,
    "addedAt" timestamp(3) not null default current_timestamp, primary key ("userId", "gameId"));
create table promo_codes (id text primary key, code text not null unique, discount numeric(5,2) not null, "maxUses" integer,
    "usedCount" integer not null default 0, "validFrom" timestamp(3) not null default '2026-01-01',
    "validUntil" timestamp(3) not null default '2036-01-01', active boolean not null default true,
    "createdAt" timestamp(3) not null default current_timestamp);
create table categories (id text primary key, name text not null unique, slug text not null unique);
create table genres (id text primary key, name text not null unique, slug text not null unique);
create table platforms (id text primary key, name text not null unique, slug text not null unique);
create table tags (id text primary key, name text not null unique, slug text not null unique);
create table game_categories ("gameId" text not null references games, "categoryId" text not null references categories, primary key ("gameId", "categoryId"));
create table game_genres ("gameId" text not null references games, "genreId" text not null references genres, primary key ("gameId", "genreId"));
create table game_platforms ("gameId" text not null references games, "platformId" text not null references platforms, primary key ("gameId", "platformId"));
create table game_tags ("gameId" text not null references games, "tagId" text not null references tags, primary key ("gameId", "tagId"));
create table articles (id text primary key, slug text not null unique, title text not null, excerpt text not null, content text not null,
    "coverImage" text not null, category text not null, author text not null, published boolean not null default false,
    "publishedAt" timestamp(3), "readTime" integer, tags text[], "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null default current_timestamp);
create table sessions (id text primary key, "sessionId" text not null unique, data jsonb not null default '{}',
    "expiresAt" timestamp(3) not null, "createdAt" timestamp(3) not null default current_timestamp);
create table login_history (id text primary key, "userId" text not null references users on delete cascade, "ipAddress" text,
    "userAgent" text, success boolean not null default true, "createdAt" timestamp(3) not null default current_timestamp);
create table faqs (id text primary key, category text not null, question text not null, answer text not null,
    "order" integer not null default 0, active boolean not null default true, "createdAt" timestamp(3) not null default current_timestamp);
create table email_settings (id text primary key, name text not null default 'default' unique, host text not null, port integer not null,
    secure boolean not null default false, "user" text not null, password text not null, "fromEmail" text not null, "fromName" text,
    "isActive" boolean not null default true, "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null default current_timestamp);
create table g2a_settings (id text primary key, "clientId" text not null unique, email text not null, "clientSecret" text not null,
    "apiKey" text, environment text not null default 'sandbox', "isActive" boolean not null default true,
    "createdAt" timestamp(3) not null default current_timestamp, "updatedAt" timestamp(3) not null default current_timestamp);
