//! The one way to a quote: what the request made before, or a new price; kept, then signed.
//!
//! Invariant: no quote leaves that is not in the store, so that whatever token comes back was given here.

use hexcab_chassis::{
    Clock,
    token::{Signer, TokenError},
};
use hexcab_pg::PgError;
use hexcab_types::{MoneyError, QUOTE_TOKEN_TYPE, QuoteId};
use uuid::Uuid;

use crate::{
    domain::{
        quote::{Asked, Circumstances, Quote, Refusal},
        surge_cell,
    },
    market::{Market, Markets},
    store::Store,
};

/// Why there is no quote.
#[derive(Debug, thiserror::Error)]
pub enum QuoteError {
    /// What was asked cannot be answered.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store is away or refuses.
    #[error(transparent)]
    Store(#[from] PgError),
    /// An amount does not fit: a fare policy beyond reason.
    #[error("fare")]
    Fare(#[from] MoneyError),
    /// The quote cannot be signed.
    #[error("sign the quote")]
    Token(#[from] TokenError),
}

/// A quote with its token.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The quote.
    pub quote: Quote,
    /// The same, signed.
    pub token: String,
}

/// Makes quotes.
#[derive(Clone)]
pub struct Quoting {
    /// The cities.
    pub markets: Markets,
    /// Where quotes are kept.
    pub store: Store,
    /// The city's clock.
    pub clock: Clock,
    /// Signs quotes.
    pub signer: Signer,
}

impl Quoting {
    /// The quote for what is asked; the same for the same request.
    ///
    /// # Errors
    /// When it is refused, or the store is away.
    pub async fn quote(&self, asked: Asked) -> Result<Signed, QuoteError> {
        if let Some(known) = self.store.quote_of_request(asked.request).await? {
            return self.sign(known.answer(&asked)?);
        }
        let market = self
            .markets
            .get(&asked.city)
            .ok_or_else(|| Refusal::CityUnknown(asked.city.clone()))?;
        let quote = self.price(market, asked.clone())?;
        self.sign(self.store.keep_quote(&quote).await?.answer(&asked)?)
    }

    /// A quote made before.
    ///
    /// # Errors
    /// When there is none, or the store is away.
    pub async fn made_before(&self, id: QuoteId) -> Result<Signed, QuoteError> {
        self.sign(
            self.store
                .quote(id)
                .await?
                .ok_or(Refusal::QuoteUnknown(id))?,
        )
    }

    fn price(&self, market: &Market, asked: Asked) -> Result<Quote, QuoteError> {
        let product = asked.check(&market.city)?;
        let now = self.clock.now();
        let hour = market.city.hour_of_week(now);
        let leg = market
            .roads
            .leg(asked.pickup, asked.dropoff, hour)
            .ok_or(Refusal::NoRoute)?;
        let circumstances = Circumstances {
            id: Uuid::now_v7().into(),
            leg,
            surge: market.surge(surge_cell(asked.pickup), now),
            fare_version: market.fare_version,
            now,
            traceparent: hexcab_telemetry::current_traceparent(),
        };
        Ok(Quote::new(&market.city, product, asked, circumstances)?)
    }

    /// EdDSA has no chance in it: the same quote gets the same token.
    fn sign(&self, quote: Quote) -> Result<Signed, QuoteError> {
        let token = self.signer.sign(QUOTE_TOKEN_TYPE, &quote.claims())?;
        Ok(Signed { quote, token })
    }
}
