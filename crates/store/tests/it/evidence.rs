//! The key that signs exported cases.

use lockstep_store::cards::evidence;
use lockstep_testkit::TestDb;
use lockstep_vault::{Keys, signing};

#[tokio::test]
async fn the_key_of_a_shop_is_made_once_is_sealed_and_signs_what_anybody_can_check() {
    let db = TestDb::new().await;
    db.store.seal_mail_with(Keys::parse(&"11".repeat(32)).unwrap());
    let signed = futures::future::join_all((0..8).map(|_| evidence::sign(&db.store, b"content"))).await;
    let (public, signature) = *signed[0].as_ref().unwrap();
    assert!(signed.iter().all(|one| one.as_ref().unwrap().0 == public), "one key");
    assert!(signing::is_signed(&public, b"content", &signature));
    assert!(!signing::is_signed(&public, b"Content", &signature));
    let page = evidence::sealed_page(&db.store, None, 10).await.unwrap();
    assert_eq!(page.len(), 1);
    let (id, sealed) = &page[0];
    let open = |keys: &str| Keys::parse(keys).unwrap().open(&evidence::place(*id), sealed);
    assert_eq!(open(&"11".repeat(32)).unwrap().len(), 64);
    assert!(open(&"22".repeat(32)).is_err());
    // A rotation seals it anew, once.
    assert!(evidence::reseal(&db.store, *id, sealed, b"other").await.unwrap());
    assert!(!evidence::reseal(&db.store, *id, sealed, b"third").await.unwrap());
    assert!(evidence::sign(&db.store, b"content").await.is_err(), "nothing opens it");
}
