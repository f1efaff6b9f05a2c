//! What the commands print and how they end, over a fake door: each test is a list of commands with what they said.
//!
//! `cargo insta test --accept -p rollback-cli --test cli` writes the snapshots again after a change of words.

// Helpers of tests, which clippy does not take for tests.
#![allow(clippy::unwrap_used)]

mod documents;
mod formats;
mod from_git;
mod help;
mod reading;
mod refusals;
mod rollback;
mod save;
mod usage;

use rollback_testing::{FakeDoor, Shop};

/// A shop at `v2`, which brought the price of an item.
fn shop() -> Shop {
    let mut shop = Shop::new("shop.0001_item\nshop.0002_price < shop.0001_item adds shop_0001_item.price");
    shop.deploy("v1", "shop.0001_item");
    shop.deploy("v2", "shop.0002_price");
    shop
}

/// The door `manage.py` of that shop.
fn manage() -> FakeDoor {
    shop().door()
}

/// The binary's door to that shop.
fn binary() -> FakeDoor {
    let mut shop = shop();
    shop.has_django = false;
    shop.door()
}
