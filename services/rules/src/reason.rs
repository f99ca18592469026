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
        "This desk does not have the right that the call needs. Use a desk that has it, or ask the controllers to give it in the directory; `whoami` shows the rights of a desk.",
        "Dit loket heeft het recht niet dat voor deze aanroep nodig is. Gebruik een loket dat het heeft, of vraag de verwerkingsverantwoordelijken het in het register te geven; `whoami` toont de rechten van een loket.";
    // request
    InvalidRequest, "INVALID_REQUEST", 6, InvalidArgument,
        "One or more fields of the request are wrong; the details name each field and what is right. Correct them and ask again; nothing was done.",
        "Een of meer velden van het verzoek kloppen niet; de details noemen elk veld en wat wel goed is. Verbeter ze en vraag opnieuw; er is niets gebeurd.";
    RequestIdReused, "REQUEST_ID_REUSED", 7, AlreadyExists,
        "This request id was used before with another body. Use a new id for a new request, and the same body when repeating.",
        "Dit verzoeknummer is eerder gebruikt met een andere inhoud. Gebruik een nieuw nummer voor een nieuw verzoek, en dezelfde inhoud bij herhaling.";
    RevisionMismatch, "REVISION_MISMATCH", 8, Aborted,
        "The revision is not the handover's present one: it has changed since you read it. Read it again and decide anew.",
        "Het revisienummer is niet het huidige: de overdracht is veranderd sinds u die las. Lees de overdracht opnieuw en beslis opnieuw.";
    MessageTooLarge, "MESSAGE_TOO_LARGE", 9, ResourceExhausted,
        "The message or the sealed dossier is larger than the limit (1 MiB and 768 KiB). Send fewer or shorter fields.",
        "Het bericht of het verzegelde dossier is groter dan de grens (1 MiB en 768 KiB). Stuur minder of kortere velden.";
    PageTokenInvalid, "PAGE_TOKEN_INVALID", 10, InvalidArgument,
        "The page token is not one that this gateway gave you for this question. Start again without a token.",
        "Het paginakenmerk is niet door deze gateway voor deze vraag gegeven. Begin opnieuw zonder kenmerk.";
    SearchTooWide, "SEARCH_TOO_WIDE", 11, InvalidArgument,
        "A search of the log names a handover, an organisation, a purpose or a subject tag, so that nobody reads it all by accident. Add one of them.",
        "Een zoekvraag in het logboek noemt een overdracht, een organisatie, een doel of een betrokkene-kenmerk, zodat niemand per ongeluk alles leest. Voeg er een toe.";
    // uniform
    NotAvailable, "NOT_AVAILABLE", 12, NotFound,
        "There is nothing here for you: it does not exist, is not yours, or may not be shared. The answer is the same for all of these. Look whether what you typed is right.",
        "Er is hier niets voor u: het bestaat niet, is niet van u, of mag niet gedeeld worden. Het antwoord is in al die gevallen gelijk. Kijk of klopt wat u hebt ingevuld.";
    // policy
    PurposeUnknown, "PURPOSE_UNKNOWN", 13, FailedPrecondition,
        "The purpose is not in the purpose register. Name one that is there.",
        "Het doel staat niet in het doelregister. Noem een doel dat er wel staat.";
    BasisMissing, "BASIS_MISSING", 14, FailedPrecondition,
        "The register has no legal basis for this purpose between these kinds of organisation. Choose another purpose or recipient; `sluis explain` tells what may be.",
        "Het register heeft geen grondslag voor dit doel tussen deze soorten organisaties. Kies een ander doel of een andere ontvanger; `sluis explain` zegt wat kan.";
    BasisMismatch, "BASIS_MISMATCH", 15, FailedPrecondition,
        "The legal basis that the request names is not the one in the register for this purpose and these kinds of organisation. Name the register's.",
        "De grondslag die het verzoek noemt is niet die van het register voor dit doel en deze soorten organisaties. Noem die van het register.";
    NoAgreement, "NO_AGREEMENT", 16, FailedPrecondition,
        "There is no valid edge in the directory for this sender, recipient and purpose. Both organisations sign one first; ask your controller.",
        "Er is geen geldige verbinding in het register voor deze afzender, ontvanger en dit doel. Beide organisaties tekenen er eerst een; vraag uw verwerkingsverantwoordelijke.";
    NoApplicablePermit, "NO_APPLICABLE_PERMIT", 17, PermissionDenied,
        "No policy permits this action. Nothing was done; `sluis explain` tells what may be.",
        "Geen enkele beleidsregel staat deze handeling toe. Er is niets gebeurd; `sluis explain` zegt wat kan.";
    ConsentMissing, "CONSENT_MISSING", 18, FailedPrecondition,
        "This exchange needs the person's consent and there is none. It is the person's turn: ask for it.",
        "Deze uitwisseling vraagt toestemming van de persoon en die is er niet. De persoon is aan zet: vraag erom.";
    ConsentNotActive, "CONSENT_NOT_ACTIVE", 19, FailedPrecondition,
        "The person's consent is not active at this moment: it ended or has not begun. It is the person's turn: ask again if it is still needed.",
        "De toestemming van de persoon geldt op dit moment niet: zij is voorbij of nog niet begonnen. De persoon is aan zet: vraag het opnieuw als het nog nodig is.";
    ConsentScopeExceeded, "CONSENT_SCOPE_EXCEEDED", 20, FailedPrecondition,
        "The request goes beyond what the person consented to. Ask for fewer labels, or ask the person for more.",
        "Het verzoek gaat verder dan waar de persoon toestemming voor gaf. Vraag minder labels, of vraag de persoon om meer.";
    SecrecyNotWaived, "SECRECY_NOT_WAIVED", 21, FailedPrecondition,
        "The law's duty of secrecy holds: the person's written declaration that it is waived is missing. Have it signed, and register the consent with it.",
        "De geheimhoudingsplicht geldt: de schriftelijke verklaring van de persoon dat daarvan wordt afgezien ontbreekt. Laat die tekenen, en leg de toestemming ermee vast.";
    SpecialCategoryNoBasis, "SPECIAL_CATEGORY_NO_BASIS", 22, PermissionDenied,
        "Special-category data (AVG article 9) has no ground in this exchange. Leave it out.",
        "Voor bijzondere persoonsgegevens (AVG artikel 9) is in deze uitwisseling geen grond. Laat ze weg.";
    BsnNotAllowed, "BSN_NOT_ALLOWED", 23, PermissionDenied,
        "A BSN may not be exchanged here: both sides need a legal ground for it. Leave it out.",
        "Een BSN mag hier niet worden uitgewisseld: beide kanten hebben daarvoor een wettelijke grond nodig. Laat het weg.";
    HandoverExpired, "HANDOVER_EXPIRED", 24, FailedPrecondition,
        "The time for this step has passed, and the handover ends by itself. It is the sender's turn: prepare a new one.",
        "De termijn voor deze stap is voorbij, en de overdracht eindigt vanzelf. De afzender is aan zet: bereid een nieuwe voor.";
    OutsideRegion, "OUTSIDE_REGION", 25, PermissionDenied,
        "The edge does not cover this region. Choose a recipient of the region, or have both organisations sign another edge.",
        "De verbinding geldt niet voor deze regio. Kies een ontvanger van de regio, of laat beide organisaties een andere verbinding tekenen.";
    ProcessingRestricted, "PROCESSING_RESTRICTED", 26, FailedPrecondition,
        "Processing is restricted (AVG article 18); nothing is released until that is lifted. It is the officer's turn; you need do nothing.",
        "De verwerking is beperkt (AVG artikel 18); er wordt niets vrijgegeven tot dat is opgeheven. De functionaris is aan zet; u hoeft niets te doen.";
    ObjectionPending, "OBJECTION_PENDING", 27, FailedPrecondition,
        "The person has objected (AVG article 21); nothing is released until the officer has decided. It is the turn of the sender's officer; you need do nothing.",
        "De persoon heeft bezwaar gemaakt (AVG artikel 21); er wordt niets vrijgegeven tot de functionaris heeft beslist. De functionaris van de afzender is aan zet; u hoeft niets te doen.";
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
        "A label is not in the register's list of labels; the details name it. Write it as the register does, or leave it out.",
        "Een label staat niet in de labellijst van het register; de details noemen het. Schrijf het zoals het register, of laat het weg.";
    LabelDoubled, "LABEL_DOUBLED", 32, InvalidArgument,
        "A label occurs more than once. Give each label one value.",
        "Een label komt vaker dan een keer voor. Geef elk label een waarde.";
    LabelsTooMany, "LABELS_TOO_MANY", 33, InvalidArgument,
        "There are more labels than the limit of 64. Send fewer, in a second handover if need be.",
        "Er zijn meer labels dan de grens van 64. Stuur er minder, zo nodig in een tweede overdracht.";
    LabelsNoneAllowed, "LABELS_NONE_ALLOWED", 34, FailedPrecondition,
        "None of the labels may be exchanged for this purpose. Ask for others; the register has those that may be.",
        "Geen van de labels mag voor dit doel worden uitgewisseld. Vraag andere; het register heeft die welke mogen.";
    // handover
    StateForbidsEvent, "STATE_FORBIDS_EVENT", 35, FailedPrecondition,
        "This step is not to be taken now, or not by you. The details say how it stands and who may do what. Look at the handover again before you decide.",
        "Deze stap kan nu niet, of niet door u. De details zeggen hoe het ervoor staat en wie wat kan doen. Bekijk de overdracht opnieuw voor u beslist.";
    ContactDateInvalid, "CONTACT_DATE_INVALID", 36, InvalidArgument,
        "Completing needs the date of the contact with the candidate, on or after the release and not in the future. Give the day on which you really spoke.",
        "Afronden vraagt de datum van het contact met de kandidaat, op of na de vrijgave en niet in de toekomst. Geef de dag waarop echt is gesproken.";
    CodeUnknown, "CODE_UNKNOWN", 37, InvalidArgument,
        "The code is not in the list for this step; the details say which it is about. Choose one of the list.",
        "De code staat niet in de lijst voor deze stap; de details zeggen welke. Kies er een uit de lijst.";
    SubjectMismatch, "SUBJECT_MISMATCH", 38, FailedPrecondition,
        "The released pseudonym belongs to another person than the one the handover was prepared for. Nothing was released, and the officer sees it. Check whether the person key was given to another person; cancel, and offer anew.",
        "Het vrijgegeven pseudoniem hoort bij een andere persoon dan voor wie de overdracht is voorbereid. Er is niets vrijgegeven, en de functionaris ziet het. Kijk of de persoonssleutel aan een ander is gegeven; trek in en bied opnieuw aan.";
    ManifestInvalid, "MANIFEST_INVALID", 39, InvalidArgument,
        "The manifest is not well formed, or names another handover, stage, recipient or purpose. Make it for this step anew; the client library does.",
        "Het manifest is niet goed gevormd, of noemt een andere overdracht, fase, ontvanger of doel. Maak het voor deze stap opnieuw; de clientbibliotheek doet dat.";
    ManifestSignatureInvalid, "MANIFEST_SIGNATURE_INVALID", 40, InvalidArgument,
        "The manifest's signature is not by the calling desk's registered key. Sign with that key, or have the desk's new key registered in the directory.",
        "De handtekening onder het manifest is niet van de geregistreerde sleutel van het aanroepende loket. Teken met die sleutel, of laat de nieuwe sleutel van het loket in het register opnemen.";
    ManifestDigestMismatch, "MANIFEST_DIGEST_MISMATCH", 41, InvalidArgument,
        "A sealed field or its order does not match the digest in the manifest. Seal and sign anew, and send both as they were made.",
        "Een verzegeld veld of de opdracht past niet bij de samenvatting in het manifest. Verzegel en teken opnieuw, en stuur beide zoals ze zijn gemaakt.";
    FieldTooLarge, "FIELD_TOO_LARGE", 42, InvalidArgument,
        "A field is larger than 64 KiB, or its sealed size is not a padded size. Make the value shorter.",
        "Een veld is groter dan 64 KiB, of de verzegelde grootte is geen opgevulde grootte. Maak de waarde korter.";
    SealingKeyOutdated, "SEALING_KEY_OUTDATED", 43, FailedPrecondition,
        "The fields were sealed to a key that is not the recipient's current one. Prepare again or seal anew.",
        "De velden zijn verzegeld met een sleutel die niet de huidige van de ontvanger is. Bereid opnieuw voor of verzegel opnieuw.";
    NoticeAnswered, "NOTICE_ANSWERED", 44, FailedPrecondition,
        "This notice has been answered already. Nothing is left to do; a new answer needs a new notice.",
        "Deze kennisgeving is al beantwoord. Er is niets meer te doen; een nieuw antwoord vraagt een nieuwe kennisgeving.";
    NoticeGroundMissing, "NOTICE_GROUND_MISSING", 45, InvalidArgument,
        "Keeping data after a notice needs a legal ground. Name it, or answer that the data were erased.",
        "Gegevens bewaren na een kennisgeving vraagt een wettelijke grond. Noem die, of antwoord dat de gegevens zijn gewist.";
    NoticeSignatureInvalid, "NOTICE_SIGNATURE_INVALID", 46, InvalidArgument,
        "The answer's signature is not by the calling desk's registered key. Sign with that key, or have the desk's new key registered in the directory.",
        "De handtekening onder het antwoord is niet van de geregistreerde sleutel van het aanroepende loket. Teken met die sleutel, of laat de nieuwe sleutel van het loket in het register opnemen.";
    StreamEnded, "STREAM_ENDED", 47, Unavailable,
        "A watch stream lives thirty minutes. Open it again with the last cursor; nothing is lost.",
        "Een kijkstroom leeft dertig minuten. Open hem opnieuw met de laatste cursor; er gaat niets verloren.";
    // pseudonym
    OrderMalformed, "ORDER_MALFORMED", 48, InvalidArgument,
        "The order cannot be read: an unknown field, a missing field, or a label that is not one. Make it as docs/pseudonyms.md says.",
        "De opdracht is niet te lezen: een onbekend veld, een ontbrekend veld, of een label dat er geen is. Maak haar zoals docs/pseudonyms.md zegt.";
    OrderSignatureInvalid, "ORDER_SIGNATURE_INVALID", 49, PermissionDenied,
        "The order's signature is not by the issuing desk's registered key. Sign with that key; after a change of keys, wait until every holder has the new directory.",
        "De handtekening onder de opdracht is niet van de geregistreerde sleutel van het loket dat haar geeft. Teken met die sleutel; wacht na een sleutelwissel tot elke sleutelhouder het nieuwe register heeft.";
    OrderForbidden, "ORDER_FORBIDDEN", 50, PermissionDenied,
        "The closed table of conversions does not have this order: kind, issuer, source, targets and owner must all fit. docs/pseudonyms.md has the table.",
        "De gesloten tabel van omzettingen kent deze opdracht niet: soort, opdrachtgever, bron, doelen en eigenaar moeten alle kloppen. docs/pseudonyms.md heeft de tabel.";
    OrderExpired, "ORDER_EXPIRED", 51, FailedPrecondition,
        "The order's window of five minutes has passed: it took too long, or the clock of the issuing desk is slow. Set that clock (NTP) and sign a fresh order; the request id may stay.",
        "Het tijdvenster van vijf minuten is voorbij: het duurde te lang, of de klok van het loket loopt achter. Zet die klok gelijk (NTP) en teken een nieuwe opdracht; het verzoeknummer mag blijven.";
    OrderNotYetValid, "ORDER_NOT_YET_VALID", 52, FailedPrecondition,
        "The order's window has not begun: the clock of the issuing desk is fast. Set it (NTP) and sign a fresh order.",
        "Het tijdvenster van de opdracht is nog niet begonnen: de klok van het loket loopt voor. Zet die gelijk (NTP) en teken een nieuwe opdracht.";
    OrderWindowTooLong, "ORDER_WINDOW_TOO_LONG", 53, InvalidArgument,
        "The order is valid for longer than five minutes. Sign one with a shorter window.",
        "De opdracht geldt langer dan vijf minuten. Teken er een met een korter tijdvenster.";
    OrderReplayed, "ORDER_REPLAYED", 54, AlreadyExists,
        "This order id was used before with other bytes. Sign a fresh order with a new id.",
        "Dit opdrachtnummer is eerder gebruikt met andere inhoud. Teken een nieuwe opdracht met een nieuw nummer.";
    OrderCiphertextMismatch, "ORDER_CIPHERTEXT_MISMATCH", 55, InvalidArgument,
        "The ciphertext is not the one that the order names. Send the one that was signed for, or sign anew.",
        "Het cijferbericht is niet dat waar de opdracht over gaat. Stuur dat waarvoor is getekend, of teken opnieuw.";
    OrderParentInvalid, "ORDER_PARENT_INVALID", 56, FailedPrecondition,
        "A HANDOVER order needs each holder's own voucher of the PREPARE that it continues. Send those of this handover's Prepare.",
        "Een opdracht HANDOVER vraagt van elke sleutelhouder diens eigen bewijs van de PREPARE die zij voortzet. Stuur die van de Prepare van deze overdracht.";
    ContextUnknown, "CONTEXT_UNKNOWN", 57, FailedPrecondition,
        "The order names a context that has not been opened or is no longer current. Open it (OpenContext), and enrol anew where the epoch has changed.",
        "De opdracht noemt een context die niet is geopend of niet meer geldt. Open hem (OpenContext), en schrijf opnieuw in waar de periode is veranderd.";
    ContextRequestInvalid, "CONTEXT_REQUEST_INVALID", 58, InvalidArgument,
        "The request to open a context is not signed by its owner, or its walk along the holders does not add up: then a commitment in a holder's configuration is wrong. Compare `commitments` everywhere with what `sluis keys new` printed.",
        "Het verzoek om een context te openen is niet door de eigenaar getekend, of de gang langs de sleutelhouders klopt niet: dan is een commitment in de configuratie van een sleutelhouder verkeerd. Vergelijk `commitments` overal met wat `sluis keys new` afdrukte.";
    PointInvalid, "POINT_INVALID", 59, InvalidArgument,
        "A point is not a canonical ristretto255 encoding of 32 bytes, or is the identity. Encode it so (RFC 9496).",
        "Een punt is geen canonieke ristretto255-codering van 32 bytes, of is het neutrale element. Codeer het zo (RFC 9496).";
    VoucherInvalid, "VOUCHER_INVALID", 60, FailedPrecondition,
        "A voucher of an earlier holder is missing, forged or about something else. Repeat with a fresh order; if it stays, tell the operator: a holder errs or lies.",
        "Een bewijs van een eerdere sleutelhouder ontbreekt, is vals of gaat over iets anders. Herhaal met een nieuwe opdracht; blijft het, meld het de beheerder: een sleutelhouder vergist zich of liegt.";
    KeyMismatch, "KEY_MISMATCH", 61, Internal,
        "The converted ciphertext is not under the registered key of its target context. Nothing was used. Tell the operator: a holder's keys are wrong.",
        "Het omgezette cijferbericht staat niet onder de geregistreerde sleutel van de doelcontext. Niets is gebruikt. Meld het de beheerder: de sleutels van een sleutelhouder kloppen niet.";
    QuotaExceeded, "QUOTA_EXCEEDED", 62, ResourceExhausted,
        "The day's quota of this kind of order has been used up for your organisation, or too many of its orders were refused in this minute. Go on after a minute, or tomorrow; nothing was done.",
        "Het dagquotum voor dit soort opdrachten is voor uw organisatie op, of er zijn in deze minuut te veel van haar opdrachten geweigerd. Ga na een minuut verder, of morgen; er is niets gebeurd.";
    HolderUnavailable, "HOLDER_UNAVAILABLE", 63, Unavailable,
        "A key holder cannot be reached, so nothing was converted and nothing was done. It is the turn of that holder's operator. What waits in the outbox goes out by `resume` once the holder is back; whatever does not wait there, ask again then.",
        "Een sleutelhouder is niet bereikbaar, dus er is niets omgezet en er is niets gebeurd. De beheerder van die sleutelhouder is aan zet. Wat in de outbox wacht, gaat met `resume` uit zodra de sleutelhouder terug is; wat daar niet wacht, vraagt u dan opnieuw.";
    // governance
    DirectoryInvalid, "DIRECTORY_INVALID", 64, InvalidArgument,
        "The directory file cannot be accepted; the details name every mistake. Correct them, raise the version and have it signed anew.",
        "Het registerbestand kan niet worden aanvaard; de details noemen elke fout. Verbeter ze, verhoog de versie en laat het opnieuw tekenen.";
    DirectorySignatureInvalid, "DIRECTORY_SIGNATURE_INVALID", 65, PermissionDenied,
        "The directory file is not signed by all controllers; the details say by whom not. Have them sign this version, or correct the controllers' public keys in the configuration.",
        "Het registerbestand is niet door alle verwerkingsverantwoordelijken getekend; de details zeggen door wie niet. Laat hen deze versie tekenen, of herstel hun publieke sleutels in de configuratie.";
    DirectoryVersionLower, "DIRECTORY_VERSION_LOWER", 66, FailedPrecondition,
        "The directory file has a lower or equal version than the one in force. Use the newest; going back is a new version with the old content.",
        "Het registerbestand heeft een lagere of gelijke versie dan het geldende. Gebruik het nieuwste; teruggaan is een nieuwe versie met de oude inhoud.";
    PolicyInvalid, "POLICY_INVALID", 67, InvalidArgument,
        "The policy set cannot be accepted; the details name every mistake. Correct them; `policy check` looks a folder over.",
        "Het beleid kan niet worden aanvaard; de details noemen elke fout. Verbeter ze; `policy check` kijkt een map na.";
    PolicyUnsigned, "POLICY_UNSIGNED", 68, PermissionDenied,
        "The policy set is not signed by all controllers; the details say by whom not. Have them sign this set (`sluis policy sign`), or correct the controllers' public keys in the configuration.",
        "Het beleid is niet door alle verwerkingsverantwoordelijken getekend; de details zeggen door wie niet. Laat hen dit beleid tekenen (`sluis policy sign`), of herstel hun publieke sleutels in de configuratie.";
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
        "The portal cannot reach another part of Sluis that it needs. What was asked may have been done: look at the overview later, or repeat with the same request id.",
        "Het portaal kan een ander deel van Sluis niet bereiken dat het nodig heeft. Misschien is het wel gedaan: kijk later in het overzicht, of herhaal met hetzelfde verzoeknummer.";
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
        "Your organisation, or all together, have as many connections or calls open, send or leave unread as much, or call as often, as may be; the details name the budget. Nothing was done, and it passes by itself. Wait as long as RetryInfo says; then repeat with the same request id.",
        "Uw organisatie, of iedereen samen, heeft zoveel verbindingen of aanroepen open, stuurt of laat zoveel ongelezen, of roept zo vaak aan, als mag; de details noemen het budget. Er is niets gebeurd, en het gaat vanzelf over. Wacht zo lang als RetryInfo zegt; herhaal daarna met hetzelfde verzoeknummer.";
    // report
    ReportTooLate, "REPORT_TOO_LATE", 86, FailedPrecondition,
        "The register lets a report of what became of it be sent for some days after completion, and they are over. Nothing was sent; nobody has to do anything.",
        "Het doelregister laat na de afronding een aantal dagen toe om te melden wat het werd, en die zijn voorbij. Er is niets verstuurd; niemand hoeft iets te doen.";
    ReportFetched, "REPORT_FETCHED", 87, FailedPrecondition,
        "The sender has fetched this handover's report: there is one, and the gateway keeps it for a day after that. Whoever fetched it has it in its own store.",
        "De verstrekker heeft de melding van deze overdracht opgehaald: er is er één, en de gateway bewaart die daarna nog een dag. Wie haar ophaalde heeft haar in de eigen opslag.";
    ReportStopped, "REPORT_STOPPED", 88, FailedPrecondition,
        "What this handover rested on was stopped, by the person or by an officer: no report of it is sent or read any more. Answer the notice in your inbox, if there is one.",
        "Waar deze overdracht op rustte is gestopt, door de persoon of door een functionaris: er wordt geen melding meer over verstuurd of gelezen. Beantwoord de kennisgeving in uw postvak, als die er is.";
    // whom it is about
    SubjectUnbound, "SUBJECT_UNBOUND", 89, FailedPrecondition,
        "This person was made known without a number, so objection and overview would reach nobody. That is for organisations that may not use the BSN, and only on consent. Enrol the person by number or by link code, or have the consent registered first.",
        "Deze persoon is zonder nummer bekendgemaakt, dus bezwaar en overzicht zouden niemand bereiken. Dat kan alleen bij organisaties die het BSN niet mogen gebruiken, en alleen met toestemming. Maak de persoon bekend met nummer of koppelcode, of leg eerst de toestemming vast.";
    NumberMissing, "NUMBER_MISSING", 90, FailedPrecondition,
        "Under the law, between organisations that both use the BSN, the dossier has the person's number: the recipient checks by it that it is about the right person. Add the number to the dossier and prepare the handover anew.",
        "Onder de wet, tussen organisaties die allebei het BSN gebruiken, staat het nummer van de persoon in het dossier: de ontvanger controleert daarmee dat het over de juiste persoon gaat. Zet het nummer in het dossier en bereid de overdracht opnieuw voor.";
    PersonUnequal, "PERSON_UNEQUAL", 91, FailedPrecondition,
        "You reported that the number in the dossier is of another person than the one handed over. It can't be completed. Return it to the sender, who looks up the person and begins a new handover.",
        "U hebt gemeld dat het nummer in het dossier van een andere persoon is dan de overgedragen persoon. Afronden kan niet. Geef de overdracht terug aan de verstrekker, die de persoon opzoekt en een nieuwe overdracht begint.";
    PersonNotProven, "PERSON_NOT_PROVEN", 92, FailedPrecondition,
        "It is not yet proven that the dossier is about the person handed over: a key holder was away, or today's checks are used up. You can read the dossier. Complete it later, tomorrow if a quota was used up: the check is then made by itself.",
        "Nog niet bewezen is dat het dossier over de overgedragen persoon gaat: een sleutelhouder was er niet, of de controles van vandaag zijn op. U kunt het dossier lezen. Rond later af, of morgen als de controles op zijn: de controle gaat dan vanzelf.";
    // the partner's own side
    BsnInText, "BSN_IN_TEXT", 95, InvalidArgument,
        "Something that looks like a BSN stands where none may stand; the details name the place. Nothing was sent. Take it out. Is it another number, then list that label under `lookalike_labels` in this desk's settings.",
        "Er staat iets dat op een BSN lijkt waar er geen mag staan; de details noemen de plaats. Er is niets verstuurd. Haal het weg. Is het een ander nummer, zet dat label dan onder `lookalike_labels` in de instellingen van dit loket.";
    NumberInvalid, "NUMBER_INVALID", 102, InvalidArgument,
        "What stands under the label of the person's number is no BSN; the details name the label and what is wrong. The recipient could not check by it whom the dossier is about. Nothing was sent. Look the number up and correct it.",
        "Wat onder het label van het nummer van de persoon staat is geen BSN; de details noemen het label en wat er niet klopt. De ontvanger kan daarmee niet controleren over wie het dossier gaat. Er is niets verstuurd. Zoek het nummer op en verbeter het.";
    NumberUnreadable, "NUMBER_UNREADABLE", 103, FailedPrecondition,
        "The number in the dossier can't be read: it was dropped on the way, or does not equal what the sender signed. So it can't be proven that the dossier is about the person handed over, and trying again does not help. It is the sender's turn: return the handover, and the sender begins a new one.",
        "Het nummer in het dossier is niet te lezen: het is onderweg weggelaten, of is niet wat de verstrekker ondertekende. Daarom is niet te bewijzen dat het dossier over de overgedragen persoon gaat, en opnieuw proberen helpt niet. De verstrekker is aan zet: geef de overdracht terug, dan begint die een nieuwe.";
    PersonKeyTaken, "PERSON_KEY_TAKEN", 96, AlreadyExists,
        "This person key stands for another number already, and still does. Check the key and the number. Choose another key, or say that it is to be replaced (`--replace`): offers of the earlier person can then no longer be released.",
        "Deze persoonssleutel hoort al bij een ander nummer, en dat is zo gebleven. Controleer de sleutel en het nummer. Kies een andere sleutel, of zeg dat hij vervangen moet worden (`--replace`): aanbiedingen van de eerdere persoon kunt u dan niet meer vrijgeven.";
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

    /// That the caller lacks a right: which one the call needs, in words.
    #[must_use]
    pub fn lacks(needs: &'static str) -> Self {
        Self::about(Reason::RightMissing, "rights", needs)
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
