//! HS256, the only algorithm of our tokens, as a provider for jsonwebtoken. Its default set of algorithms includes RSA,
//! whose implementation has a known weakness (RUSTSEC-2023-0071) and is not needed here.

use hmac::{Hmac, Mac as _};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use sha2::Sha256;
use signature::{Signer, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(signer(*algorithm, key)?)),
    verifier_factory: |algorithm, key| Ok(Box::new(verifier(*algorithm, key)?)),
    // For keys in JWK form, which are not used.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Registers HS256 as jsonwebtoken's provider for this process; repeated calls have no effect.
pub(crate) fn install() {
    // An error means that the provider is registered already.
    PROVIDER.install_default().unwrap_or_default();
}

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, family: AlgorithmFamily, secret: &[u8]) -> Result<Self, Error> {
        if algorithm != Algorithm::HS256 || family != AlgorithmFamily::Hmac {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        Hmac::new_from_slice(secret)
            .map(Self)
            .map_err(|_| ErrorKind::InvalidKeyFormat.into())
    }

    fn over(&self, message: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(message)
    }
}

fn signer(algorithm: Algorithm, key: &EncodingKey) -> Result<Hs256, Error> {
    Hs256::new(algorithm, key.family(), key.as_bytes())
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Hs256, Error> {
    Hs256::new(algorithm, key.family(), key.try_get_as_bytes()?)
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.over(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// Compares in constant time.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.over(message)
            .verify_slice(signature)
            .map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The third example of RFC 4231 for HMAC-SHA-256.
    #[test]
    fn signatures_match_rfc_4231_and_others_are_rejected() {
        let secret = [0xaa; 20];
        let message = [0xdd; 50];
        let signer = signer(Algorithm::HS256, &EncodingKey::from_secret(&secret)).unwrap();
        let mut signed = signer.try_sign(&message).unwrap();
        assert_eq!(
            hex::encode(&signed),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        );
        let verifier = verifier(Algorithm::HS256, &DecodingKey::from_secret(&secret)).unwrap();
        assert!(verifier.verify(&message, &signed).is_ok());
        assert!(verifier.verify(&message[1..], &signed).is_err());
        assert!(verifier.verify(&message, &signed[1..].to_vec()).is_err());
        signed[0] ^= 1;
        assert!(verifier.verify(&message, &signed).is_err());
    }

    #[test]
    fn other_algorithms_are_unsupported() {
        let key = EncodingKey::from_secret(b"secret");
        for algorithm in [
            Algorithm::HS384,
            Algorithm::HS512,
            Algorithm::RS256,
            Algorithm::ES256,
            Algorithm::EdDSA,
        ] {
            assert!(signer(algorithm, &key).is_err(), "{algorithm:?}");
        }
        assert!(signer(Algorithm::HS256, &EncodingKey::from_rsa_der(b"key")).is_err());
    }
}
