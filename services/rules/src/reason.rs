//! Every reason for which Sluis says no, with its gRPC class and its texts in English and Dutch.
//!
//! The list is closed and equals `sluis.policy.v1.Reason` (a test compares them). A text must never
//! hold personal data, and must always say what to do next.

use crate::limits::VIOLATIONS_MAX;
use std::fmt;

/// The class of a reason: which gRPC status code carries it (google.rpc.Code, by its name).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request itself is wrong; repeating it cannot help.
    InvalidArgument,
    /// There is nothing here for the caller.
    NotFound,
    /// An id was used before for something else.
    AlreadyExists,
    /// The caller may not do this.
    PermissionDenied,
    /// A limit was reached.
    ResourceExhausted,
    /// The system is not in the state that the call needs.
    FailedPrecondition,
    /// Somebody else changed the thing meanwhile.
    Aborted,
    /// A part is away; the same call may succeed later.
    Unavailable,
    /// A fault of ours.
    Internal,
}

macro_rules! reasons {
    ($( $(#[doc = $group:literal])? $variant:ident, $code:literal, $number:literal, $class:ident, $english:literal, $dutch:literal; )*) => {
        /// Why something was refused (`ErrorInfo.reason`, domain `sluis`). Stable: a code never
        /// changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $( #[doc = $english] $variant, )*
        }

        impl Reason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The stable code, as in `ErrorInfo.reason`, the log and the documentation.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// The number in `sluis.policy.v1.Reason`.
            #[must_use]
            pub const fn number(self) -> i32 {
                match self { $( Self::$variant => $number, )* }
            }

            /// Which gRPC status carries it.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $( Self::$variant => Class::$class, )* }
            }

            /// What it means and what to do, in English.
            #[must_use]
            pub const fn english(self) -> &'static str {
                match self { $( Self::$variant => $english, )* }
            }

            /// What it means and what to do, in Dutch.
            #[must_use]
            pub const fn dutch(self) -> &'static str {
                match self { $( Self::$variant => $dutch, )* }
            }

            /// The reason with this code, if there is one.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    // door
    CertificateRevoked, "CERTIFICATE_REVOKED", 1, PermissionDenied,
        "The certificate of this desk has been revoked. Ask the gateway's operator which desk is meant and register a new certificate.",
        "Het certificaat van dit loket is ingetrokken. Vraag de beheerder van de gateway om welk loket het gaat en laat een nieuw certificaat registreren.";
    OinUnknown, "OIN_UNKNOWN", 2, PermissionDenied,
        "The organisation number (OIN) in the certificate is not in the directory. Check that the certificate carries the registered OIN in subject.serialNumber.",
        "Het OIN in het certificaat staat niet in het register. Controleer of het certificaat het geregistreerde OIN in subject.serialNumber heeft.";
    DeskUnknown, "DESK_UNKNOWN", 3, PermissionDenied,
        "The organisation is known, but this certificate's key is not registered as one of its desks. Register the key's SHA-256 in the directory.",
        "De organisatie is bekend, maar de sleutel van dit certificaat is niet als loket geregistreerd. Laat de SHA-256 van de sleutel in het register opnemen.";
    ActingForAnother, "ACTING_FOR_ANOTHER", 4, PermissionDenied,
        "The message names another organisation, realm or desk as its sender than the certificate does. A desk acts for itself only.",
        "Het bericht noemt een andere organisatie, kring of loket als afzender dan het certificaat. Een loket handelt alleen voor zichzelf.";
    RightMissing, "RIGHT_MISSING", 5, PermissionDenied,
        "This desk does not have the right that the call needs. Rights are in the directory; the call's documentation names the one it needs.",
        "Dit loket heeft het recht niet dat voor deze aanroep nodig is. Rechten staan in het register; de documentatie van de aanroep noemt het recht.";
    // request
    InvalidRequest, "INVALID_REQUEST", 6, InvalidArgument,
        "One or more fields of the request are wrong; the details name each field and what is wrong with it.",
        "Een of meer velden van het verzoek kloppen niet; de details noemen elk veld en wat eraan mankeert.";
    RequestIdReused, "REQUEST_ID_REUSED", 7, AlreadyExists,
        "This request id was used before with another body. Use a new id for a new request, and the same body when repeating.",
        "Dit verzoeknummer is eerder gebruikt met een andere inhoud. Gebruik een nieuw nummer voor een nieuw verzoek, en dezelfde inhoud bij herhaling.";
    RevisionMismatch, "REVISION_MISMATCH", 8, Aborted,
        "The revision is not the handover's present one: it has changed since you read it. Read it again and decide anew.",
        "Het revisienummer is niet het huidige: de overdracht is veranderd sinds u die las. Lees de overdracht opnieuw en beslis opnieuw.";
    MessageTooLarge, "MESSAGE_TOO_LARGE", 9, ResourceExhausted,
        "The message or the sealed dossier is larger than the limit (1 MiB and 768 KiB).",
        "Het bericht of het verzegelde dossier is groter dan de grens (1 MiB en 768 KiB).";
    PageTokenInvalid, "PAGE_TOKEN_INVALID", 10, InvalidArgument,
        "The page token is not one that this gateway gave you for this question. Start again without a token.",
        "Het paginakenmerk is niet door deze gateway voor deze vraag gegeven. Begin opnieuw zonder kenmerk.";
    SearchTooWide, "SEARCH_TOO_WIDE", 11, InvalidArgument,
        "A search of the log names at least one of handover, peer, purpose or subject tag, so that nobody reads it all by accident.",
        "Een zoekvraag in het logboek noemt ten minste een overdracht, partij, doel of betrokkene-kenmerk, zodat niemand per ongeluk alles leest.";
    // uniform
    NotAvailable, "NOT_AVAILABLE", 12, NotFound,
        "There is nothing here for you: it does not exist, is not yours, or may not be shared. The answer is the same for all of these.",
        "Er is hier niets voor u: het bestaat niet, is niet van u, of mag niet gedeeld worden. Het antwoord is in al die gevallen gelijk.";
    // policy
    PurposeUnknown, "PURPOSE_UNKNOWN", 13, FailedPrecondition,
        "The purpose is not in the purpose register.",
        "Het doel staat niet in het doelregister.";
    BasisMissing, "BASIS_MISSING", 14, FailedPrecondition,
        "The register has no legal basis for this purpose between these kinds of organisation.",
        "Het register heeft geen grondslag voor dit doel tussen deze soorten organisaties.";
    BasisMismatch, "BASIS_MISMATCH", 15, FailedPrecondition,
        "The legal basis that the request names is not the one in the register for this purpose and these kinds of organisation.",
        "De grondslag die het verzoek noemt is niet die van het register voor dit doel en deze soorten organisaties.";
    NoAgreement, "NO_AGREEMENT", 16, FailedPrecondition,
        "There is no valid edge in the directory for this sender, recipient and purpose.",
        "Er is geen geldige verbinding in het register voor deze afzender, ontvanger en dit doel.";
    NoApplicablePermit, "NO_APPLICABLE_PERMIT", 17, PermissionDenied,
        "No policy permits this action.",
        "Geen enkele beleidsregel staat deze handeling toe.";
    ConsentMissing, "CONSENT_MISSING", 18, FailedPrecondition,
        "This exchange needs the person's consent and there is none.",
        "Deze uitwisseling vraagt toestemming van de persoon en die is er niet.";
    ConsentNotActive, "CONSENT_NOT_ACTIVE", 19, FailedPrecondition,
        "The person's consent is not active at this moment.",
        "De toestemming van de persoon geldt op dit moment niet.";
    ConsentScopeExceeded, "CONSENT_SCOPE_EXCEEDED", 20, FailedPrecondition,
        "The request goes beyond what the person consented to.",
        "Het verzoek gaat verder dan waar de persoon toestemming voor gaf.";
    SecrecyNotWaived, "SECRECY_NOT_WAIVED", 21, FailedPrecondition,
        "The law's duty of secrecy holds: the person's written declaration that it is waived is missing.",
        "De geheimhoudingsplicht geldt: de schriftelijke verklaring van de persoon dat daarvan wordt afgezien ontbreekt.";
    SpecialCategoryNoBasis, "SPECIAL_CATEGORY_NO_BASIS", 22, PermissionDenied,
        "Special-category data (AVG article 9) has no ground in this exchange.",
        "Voor bijzondere persoonsgegevens (AVG artikel 9) is in deze uitwisseling geen grond.";
    BsnNotAllowed, "BSN_NOT_ALLOWED", 23, PermissionDenied,
        "A BSN may not be exchanged here: both sides need a legal ground for it.",
        "Een BSN mag hier niet worden uitgewisseld: beide kanten hebben daarvoor een wettelijke grond nodig.";
    HandoverExpired, "HANDOVER_EXPIRED", 24, FailedPrecondition,
        "The time for this step has passed.",
        "De termijn voor deze stap is voorbij.";
    OutsideRegion, "OUTSIDE_REGION", 25, PermissionDenied,
        "The edge does not cover this region.",
        "De verbinding geldt niet voor deze regio.";
    ProcessingRestricted, "PROCESSING_RESTRICTED", 26, FailedPrecondition,
        "Processing is restricted (AVG article 18); nothing is released until that is lifted.",
        "De verwerking is beperkt (AVG artikel 18); er wordt niets vrijgegeven tot dat is opgeheven.";
    ObjectionPending, "OBJECTION_PENDING", 27, FailedPrecondition,
        "The person has objected (AVG article 21); nothing is released until the officer has decided.",
        "De persoon heeft bezwaar gemaakt (AVG artikel 21); er wordt niets vrijgegeven tot de functionaris heeft beslist.";
    ReceiverNotReady, "RECEIVER_NOT_READY", 28, FailedPrecondition,
        "The recipient cannot receive yet: it has no valid sealing key in the directory, or its desk has not opened its context. Ask it to do so.",
        "De ontvanger kan nog niet ontvangen: er staat geen geldige verzegelsleutel in het register, of het loket heeft zijn context niet geopend. Vraag de ontvanger dat te doen.";
    PolicyStale, "POLICY_STALE", 29, Unavailable,
        "The policy set or the directory changed while this call was decided. Try again.",
        "Het beleid of het register veranderde terwijl deze aanroep werd beslist. Probeer het opnieuw.";
    PolicyError, "POLICY_ERROR", 30, Internal,
        "A policy could not be evaluated, so the answer is no. The operator must look at the policy set.",
        "Een beleidsregel kon niet worden uitgevoerd, dus het antwoord is nee. De beheerder moet naar het beleid kijken.";
    LabelUnknown, "LABEL_UNKNOWN", 31, InvalidArgument,
        "A label is not in the register's list of labels.",
        "Een label staat niet in de labellijst van het register.";
    LabelDoubled, "LABEL_DOUBLED", 32, InvalidArgument,
        "A label occurs more than once.",
        "Een label komt vaker dan een keer voor.";
    LabelsTooMany, "LABELS_TOO_MANY", 33, InvalidArgument,
        "There are more labels than the limit of 64.",
        "Er zijn meer labels dan de grens van 64.";
    LabelsNoneAllowed, "LABELS_NONE_ALLOWED", 34, FailedPrecondition,
        "None of the labels may be exchanged for this purpose.",
        "Geen van de labels mag voor dit doel worden uitgewisseld.";
    // handover
    StateForbidsEvent, "STATE_FORBIDS_EVENT", 35, FailedPrecondition,
        "The handover is in a state in which this step cannot be taken.",
        "De overdracht is in een toestand waarin deze stap niet kan.";
    ContactDateInvalid, "CONTACT_DATE_INVALID", 36, InvalidArgument,
        "Completing needs the date of the contact with the candidate, on or after the release and not in the future.",
        "Afronden vraagt de datum van het contact met de kandidaat, op of na de vrijgave en niet in de toekomst.";
    CodeUnknown, "CODE_UNKNOWN", 37, InvalidArgument,
        "The code is not in the list for this step.",
        "De code staat niet in de lijst voor deze stap.";
    SubjectMismatch, "SUBJECT_MISMATCH", 38, FailedPrecondition,
        "The released pseudonym belongs to another person than the one the handover was prepared for.",
        "Het vrijgegeven pseudoniem hoort bij een andere persoon dan voor wie de overdracht is voorbereid.";
    ManifestInvalid, "MANIFEST_INVALID", 39, InvalidArgument,
        "The manifest is not well formed, or names another handover, stage, recipient or purpose.",
        "Het manifest is niet goed gevormd, of noemt een andere overdracht, fase, ontvanger of doel.";
    ManifestSignatureInvalid, "MANIFEST_SIGNATURE_INVALID", 40, InvalidArgument,
        "The manifest's signature is not by the calling desk's registered key.",
        "De handtekening onder het manifest is niet van de geregistreerde sleutel van het aanroepende loket.";
    ManifestDigestMismatch, "MANIFEST_DIGEST_MISMATCH", 41, InvalidArgument,
        "A sealed field or its order does not match the digest in the manifest.",
        "Een verzegeld veld of de opdracht past niet bij de samenvatting in het manifest.";
    FieldTooLarge, "FIELD_TOO_LARGE", 42, InvalidArgument,
        "A field is larger than 64 KiB, or its sealed size is not a padded size.",
        "Een veld is groter dan 64 KiB, of de verzegelde grootte is geen opgevulde grootte.";
    SealingKeyOutdated, "SEALING_KEY_OUTDATED", 43, FailedPrecondition,
        "The fields were sealed to a key that is not the recipient's current one. Prepare again or seal anew.",
        "De velden zijn verzegeld met een sleutel die niet de huidige van de ontvanger is. Bereid opnieuw voor of verzegel opnieuw.";
    NoticeAnswered, "NOTICE_ANSWERED", 44, FailedPrecondition,
        "This notice has been answered already.",
        "Deze kennisgeving is al beantwoord.";
    NoticeGroundMissing, "NOTICE_GROUND_MISSING", 45, InvalidArgument,
        "Keeping data after a notice needs a legal ground.",
        "Gegevens bewaren na een kennisgeving vraagt een wettelijke grond.";
    NoticeSignatureInvalid, "NOTICE_SIGNATURE_INVALID", 46, InvalidArgument,
        "The answer's signature is not by the calling desk's registered key.",
        "De handtekening onder het antwoord is niet van de geregistreerde sleutel van het aanroepende loket.";
    StreamEnded, "STREAM_ENDED", 47, Unavailable,
        "A watch stream lives thirty minutes. Open it again with the last cursor; nothing is lost.",
        "Een kijkstroom leeft dertig minuten. Open hem opnieuw met de laatste cursor; er gaat niets verloren.";
    // pseudonym
    OrderMalformed, "ORDER_MALFORMED", 48, InvalidArgument,
        "The order cannot be read: an unknown field, a missing field, or a label that is not one.",
        "De opdracht is niet te lezen: een onbekend veld, een ontbrekend veld, of een label dat er geen is.";
    OrderSignatureInvalid, "ORDER_SIGNATURE_INVALID", 49, PermissionDenied,
        "The order's signature is not by the issuing desk's registered key.",
        "De handtekening onder de opdracht is niet van de geregistreerde sleutel van het loket dat haar geeft.";
    OrderForbidden, "ORDER_FORBIDDEN", 50, PermissionDenied,
        "The closed table of conversions does not have this order: kind, issuer, source, targets and owner must all fit.",
        "De gesloten tabel van omzettingen kent deze opdracht niet: soort, opdrachtgever, bron, doelen en eigenaar moeten alle kloppen.";
    OrderExpired, "ORDER_EXPIRED", 51, FailedPrecondition,
        "The order's window has passed. Sign a fresh order; the request id may stay.",
        "Het tijdvenster van de opdracht is voorbij. Teken een nieuwe opdracht; het verzoeknummer mag blijven.";
    OrderNotYetValid, "ORDER_NOT_YET_VALID", 52, FailedPrecondition,
        "The order's window has not begun. Check the clock of the issuing desk.",
        "Het tijdvenster van de opdracht is nog niet begonnen. Controleer de klok van het loket.";
    OrderWindowTooLong, "ORDER_WINDOW_TOO_LONG", 53, InvalidArgument,
        "The order is valid for longer than five minutes.",
        "De opdracht geldt langer dan vijf minuten.";
    OrderReplayed, "ORDER_REPLAYED", 54, AlreadyExists,
        "This order id was used before with other bytes.",
        "Dit opdrachtnummer is eerder gebruikt met andere inhoud.";
    OrderCiphertextMismatch, "ORDER_CIPHERTEXT_MISMATCH", 55, InvalidArgument,
        "The ciphertext is not the one that the order names.",
        "Het cijferbericht is niet dat waar de opdracht over gaat.";
    OrderParentInvalid, "ORDER_PARENT_INVALID", 56, FailedPrecondition,
        "A HANDOVER order needs each holder's own voucher of the PREPARE that it continues.",
        "Een opdracht HANDOVER vraagt van elke sleutelhouder diens eigen bewijs van de PREPARE die zij voortzet.";
    ContextUnknown, "CONTEXT_UNKNOWN", 57, FailedPrecondition,
        "The order names a context that has not been opened or is no longer current.",
        "De opdracht noemt een context die niet is geopend of niet meer geldt.";
    ContextRequestInvalid, "CONTEXT_REQUEST_INVALID", 58, InvalidArgument,
        "The request to open a context is not signed by its owner, or its walk along the holders does not add up.",
        "Het verzoek om een context te openen is niet door de eigenaar getekend, of de gang langs de sleutelhouders klopt niet.";
    PointInvalid, "POINT_INVALID", 59, InvalidArgument,
        "A point is not a canonical ristretto255 encoding of 32 bytes, or is the identity.",
        "Een punt is geen canonieke ristretto255-codering van 32 bytes, of is het neutrale element.";
    VoucherInvalid, "VOUCHER_INVALID", 60, FailedPrecondition,
        "A voucher of an earlier holder is missing, forged or about something else.",
        "Een bewijs van een eerdere sleutelhouder ontbreekt, is vals of gaat over iets anders.";
    KeyMismatch, "KEY_MISMATCH", 61, Internal,
        "The converted ciphertext is not under the registered key of its target context. Nothing was used; a holder's keys are wrong.",
        "Het omgezette cijferbericht staat niet onder de geregistreerde sleutel van de doelcontext. Niets is gebruikt; de sleutels van een sleutelhouder kloppen niet.";
    QuotaExceeded, "QUOTA_EXCEEDED", 62, ResourceExhausted,
        "The day's quota of this kind of order has been used up for your organisation, or too many of its orders were refused in this minute.",
        "Het dagquotum voor dit soort opdrachten is voor uw organisatie op, of er zijn in deze minuut te veel van haar opdrachten geweigerd.";
    HolderUnavailable, "HOLDER_UNAVAILABLE", 63, Unavailable,
        "A key holder cannot be reached. Nothing was done; repeat with a fresh order and the same request id.",
        "Een sleutelhouder is niet bereikbaar. Er is niets gebeurd; herhaal met een nieuwe opdracht en hetzelfde verzoeknummer.";
    // governance
    DirectoryInvalid, "DIRECTORY_INVALID", 64, InvalidArgument,
        "The directory file cannot be accepted; the details name every mistake.",
        "Het registerbestand kan niet worden aanvaard; de details noemen elke fout.";
    DirectorySignatureInvalid, "DIRECTORY_SIGNATURE_INVALID", 65, PermissionDenied,
        "The directory file is not signed by all controllers.",
        "Het registerbestand is niet door alle verwerkingsverantwoordelijken getekend.";
    DirectoryVersionLower, "DIRECTORY_VERSION_LOWER", 66, FailedPrecondition,
        "The directory file has a lower or equal version than the one in force.",
        "Het registerbestand heeft een lagere of gelijke versie dan het geldende.";
    PolicyInvalid, "POLICY_INVALID", 67, InvalidArgument,
        "The policy set cannot be accepted; the details name every mistake.",
        "Het beleid kan niet worden aanvaard; de details noemen elke fout.";
    PolicyUnsigned, "POLICY_UNSIGNED", 68, PermissionDenied,
        "The policy set is not signed by all controllers.",
        "Het beleid is niet door alle verwerkingsverantwoordelijken getekend.";
    // fault
    StorageFull, "STORAGE_FULL", 69, Unavailable,
        "The database has no room. Nothing was done; the operator must make room.",
        "De database is vol. Er is niets gebeurd; de beheerder moet ruimte maken.";
    StorageUnavailable, "STORAGE_UNAVAILABLE", 70, Unavailable,
        "The database cannot be reached or is busy. Nothing was done; try again.",
        "De database is niet bereikbaar of te druk. Er is niets gebeurd; probeer het opnieuw.";
    Internal, "INTERNAL", 71, Internal,
        "Something is wrong on our side. Nothing was released. Tell the operator the request id.",
        "Er is bij ons iets mis. Er is niets vrijgegeven. Geef de beheerder het verzoeknummer.";
    // consent
    StatementInvalid, "STATEMENT_INVALID", 72, InvalidArgument,
        "The consent statement is not in the form of this gateway: one record, one sender, one recipient, canonical JSON (RFC 8785). The details say what differs; make it anew.",
        "De toestemmingsverklaring heeft niet de vorm van deze gateway: een dossier, een verstrekker, een ontvanger, canonieke JSON (RFC 8785). De details zeggen wat afwijkt; maak haar opnieuw.";
    StatementSignatureInvalid, "STATEMENT_SIGNATURE_INVALID", 73, PermissionDenied,
        "The consent statement is not signed by the portal or by the calling desk. Sign it with the key that the directory has for this desk.",
        "De toestemmingsverklaring is niet ondertekend door het portaal of door het aanroepende loket. Onderteken met de sleutel die in het register bij dit loket staat.";
    ConsentTermExceeded, "CONSENT_TERM_EXCEEDED", 74, FailedPrecondition,
        "The consent would last longer than the register allows, or ends before it begins. Choose an earlier end.",
        "De toestemming zou langer duren dan het doelregister toestaat, of eindigt voor zij begint. Kies een eerdere einddatum.";
    PrivacyNoticeOutdated, "PRIVACY_NOTICE_OUTDATED", 75, FailedPrecondition,
        "The person saw another version of the privacy notice than the register has now. Show the present one and ask again.",
        "De persoon zag een andere versie van de privacyverklaring dan het doelregister nu heeft. Toon de huidige en vraag opnieuw.";
    AssistanceNotAllowed, "ASSISTANCE_NOT_ALLOWED", 76, FailedPrecondition,
        "The register does not let a desk register this consent. The person gives it in the portal.",
        "Het doelregister staat niet toe dat een loket deze toestemming vastlegt. De persoon geeft haar zelf in het portaal.";
    ConsentWidened, "CONSENT_WIDENED", 77, FailedPrecondition,
        "A consent can be made narrower, never wider. For more, the person gives a new consent.",
        "Een toestemming kan worden beperkt, niet verruimd. Voor meer geeft de persoon een nieuwe toestemming.";
    TriesExhausted, "TRIES_EXHAUSTED", 78, ResourceExhausted,
        "Too many wrong codes were tried. Wait ten minutes, then read the code again with care.",
        "Er zijn te veel verkeerde codes geprobeerd. Wacht tien minuten en lees de code dan nog eens goed.";
    LoginRefused, "LOGIN_REFUSED", 79, PermissionDenied,
        "The proof of identity was not accepted, or the session has ended. Log in again.",
        "Het bewijs van identiteit is niet aanvaard, of de sessie is voorbij. Log opnieuw in.";
    BrokerUnavailable, "BROKER_UNAVAILABLE", 80, Unavailable,
        "The portal cannot reach the gateway. What was asked may have been done: look at the overview later, or repeat with the same request id.",
        "Het portaal kan de gateway niet bereiken. Misschien is het wel gedaan: kijk later in het overzicht, of herhaal met hetzelfde verzoeknummer.";
    Restoring, "RESTORING", 81, Unavailable,
        "The gateway was put back from a backup. Its door stays shut until everybody has sent again what they had stopped since, or the operator opens it. Stopping works meanwhile. Nothing was done; repeat later with the same request id.",
        "De gateway is teruggezet uit een back-up. Hij blijft dicht tot iedereen opnieuw heeft gestuurd wat sindsdien is gestopt, of de beheerder hem opent. Stoppen kan wel. Er is niets gebeurd; herhaal later met hetzelfde verzoeknummer.";
    TooManyOpen, "TOO_MANY_OPEN", 82, ResourceExhausted,
        "There are as many open handovers, or as many questions, of this person to this recipient as the gateway allows. Finish or cancel one, or wait until one lapses; then ask again.",
        "Van deze persoon zijn er naar deze ontvanger zoveel open overdrachten, of vragen, als de gateway toestaat. Rond er een af of trek er een in, of wacht tot er een vervalt; vraag het dan opnieuw.";
    TooManyLines, "TOO_MANY_LINES", 83, ResourceExhausted,
        "Today so much was asked and done about this person towards this recipient that the person can no longer follow it. Nothing was done. Go on tomorrow; stopping and answering work today.",
        "Vandaag is er over deze persoon richting deze ontvanger zoveel gevraagd en gedaan dat de persoon het niet meer kan volgen. Er is niets gebeurd. Ga morgen verder; stoppen en antwoorden kan vandaag wel.";
    StopUnreadable, "STOP_UNREADABLE", 84, FailedPrecondition,
        "The gateway was put back from a backup, and something that your organisation had stopped and sent again cannot be read. Until the joint privacy officer decides about it, nothing of yours is done but stops. Ask that officer; then repeat with the same request id.",
        "De gateway is teruggezet uit een back-up, en iets wat uw organisatie had gestopt en opnieuw heeft gestuurd is niet te lezen. Tot de gezamenlijke privacyfunctionaris daarover beslist, kunt u alleen stoppen. Vraag het die functionaris; herhaal daarna met hetzelfde verzoeknummer.";
    TooManyCalls, "TOO_MANY_CALLS", 85, ResourceExhausted,
        "Your organisation has as many connections or calls open, sends or leaves unread as much, or calls as often, as one organisation may. Nothing was done. Wait as long as RetryInfo says; then repeat with the same request id.",
        "Uw organisatie heeft zoveel verbindingen of aanroepen open, stuurt of laat zoveel ongelezen, of roept zo vaak aan, als één organisatie mag. Er is niets gebeurd. Wacht zo lang als RetryInfo zegt; herhaal daarna met hetzelfde verzoeknummer.";
    // what is in force
    PolicyVersionLower, "POLICY_VERSION_LOWER", 98, FailedPrecondition,
        "The policy set has a lower or equal version than the one in force. Nobody goes back: the controllers sign the old content as a new set, with the next version and the set in force as its predecessor (version.toml).",
        "Het beleid heeft een lagere of gelijke versie dan het geldende. Terug kan niet: de verwerkingsverantwoordelijken tekenen de oude inhoud als nieuw beleid, met de volgende versie en het geldende beleid als voorganger (version.toml).";
    PolicyPredecessorDiffers, "POLICY_PREDECESSOR_DIFFERS", 99, FailedPrecondition,
        "The policy set does not follow the one in force: its version.toml names another set before it. If sets in between were missed, activate them first, oldest first; otherwise the controllers sign a set that follows the one in force.",
        "Het beleid volgt niet op het geldende: version.toml noemt een ander beleid als voorganger. Zijn er tussenliggende gemist, activeer die dan eerst, de oudste het eerst; anders tekenen de verwerkingsverantwoordelijken een beleid dat op het geldende volgt.";
    DirectoryExpired, "DIRECTORY_EXPIRED", 100, FailedPrecondition,
        "The directory is past the end that the controllers gave it (valid_until_millis). Nothing is shared or converted until the controllers have signed a new one and the operator has imported it. Stopping, objecting and answering notices work meanwhile.",
        "Het register is voorbij het einde dat de verwerkingsverantwoordelijken eraan gaven (valid_until_millis). Er wordt niets gedeeld of omgezet tot zij een nieuw register hebben getekend en de beheerder het heeft geladen. Stoppen, bezwaar maken en kennisgevingen beantwoorden kan wel.";
    DirectoryBehind, "DIRECTORY_BEHIND", 101, Unavailable,
        "A key holder has an older directory than the holder before it in the walk, so it does not judge the order. That holder's operator imports the newest directory; then repeat.",
        "Een sleutelhouder heeft een ouder register dan de sleutelhouder voor hem, en beoordeelt de opdracht daarom niet. De beheerder van die sleutelhouder laadt het nieuwste register; herhaal daarna.";
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

/// One thing that is wrong in a request: which field, and what.
///
/// The description must never repeat the value: it may be personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, in the names of the proto.
    pub field: String,
    /// What is wrong and what would be right, in English.
    pub description: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            description: description.into(),
        }
    }
}

/// A refusal: a normal outcome of the rules, logged and committed like a permit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The primary reason.
    pub reason: Reason,
    /// Fields that are wrong, when the reason is about the request itself.
    pub violations: Vec<Violation>,
}

impl Refusal {
    /// A refusal with one reason and nothing more to say.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            violations: Vec::new(),
        }
    }

    /// A refusal of a request with wrong fields, of which the first [`VIOLATIONS_MAX`] are told.
    #[must_use]
    pub fn invalid(mut violations: Vec<Violation>) -> Self {
        violations.truncate(VIOLATIONS_MAX);
        Self {
            reason: Reason::InvalidRequest,
            violations,
        }
    }

    /// The same reason with the field it is about.
    #[must_use]
    pub fn about(reason: Reason, field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            reason,
            violations: vec![Violation::new(field, description)],
        }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

/// What the rules answered: both are values, and both commit with their log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Allowed, with what was asked for.
    Permitted(T),
    /// Not allowed, and why.
    Refused(Refusal),
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use std::collections::HashSet;

    #[test]
    fn codes_and_numbers_are_unique_and_texts_say_something() {
        let mut codes = HashSet::new();
        let mut numbers = HashSet::new();
        for reason in Reason::ALL {
            assert!(codes.insert(reason.code()), "{reason} twice");
            assert!(
                numbers.insert(reason.number()),
                "{reason} shares its number"
            );
            assert!(reason.number() > 0);
            assert!(
                reason.english().len() > 20 && reason.dutch().len() > 20,
                "{reason}"
            );
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
    }
}
