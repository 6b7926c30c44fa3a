//! What extractive answers hold, on pages of a small town that exist nowhere else.

use serde_json::json;

use super::*;
use crate::generate::Extractive;
use crate::stage::testing::{passage, question, scope};

/// Pages, and of each some questions with their answers.
const PAGES: [(&str, &[(&str, &str)]); 10] = [
    (
        "Varnholm lies on the river Sel. It was founded in 1312 by the salt trader Ingrid Koss. Today 8,400 people live there. \
         Most of them work in the glass factory, which makes lamps. The mayor is Tomas Eld.",
        &[
            ("When was Varnholm founded?", "1312"),
            ("Who founded Varnholm?", "Ingrid Koss"),
            ("How many people live in Varnholm?", "8,400"),
            ("What does the glass factory make?", "lamps"),
        ],
    ),
    (
        "The covered market opens on Wednesday and Saturday. Farmers sell apples, cheese and honey there. A stall costs 35 crowns \
         a day. Dogs must stay outside. The roof was rebuilt after the storm of 1968.",
        &[
            ("On which days does the covered market open?", "Wednesday and Saturday"),
            ("How much is a stall in the market?", "35 crowns"),
            ("Why was the market's roof rebuilt?", "storm of 1968"),
        ],
    ),
    (
        "Ferries to Skarn island leave from pier 3. The crossing takes 50 minutes. In winter there is one boat a day, at 9.15. \
         Bicycles travel free of charge. Tickets are sold on board by Captain Ruta Brandt.",
        &[
            ("How long does the crossing to Skarn take?", "50 minutes"),
            ("Where do ferries to Skarn leave from?", "pier 3"),
            ("Who sells the ferry tickets?", "Ruta Brandt"),
        ],
    ),
    (
        "Bảo tàng Muối nằm ở số 12 phố Bến Cũ. Bảo tàng mở cửa từ 9 giờ đến 17 giờ, trừ thứ hai. Vé người lớn giá 60.000 đồng, \
         trẻ em vào cửa miễn phí. Giám đốc bảo tàng là bà Trần Thu Mây. Hiện vật cổ nhất là chiếc thuyền gỗ từ năm 1420.",
        &[
            ("Vé người lớn vào bảo tàng bao nhiêu tiền?", "60.000 đồng"),
            ("Bảo tàng Muối ở đâu?", "12 phố Bến Cũ"),
            ("Ai là giám đốc bảo tàng?", "Trần Thu Mây"),
            ("hien vat co nhat la gi", "thuyền gỗ"),
        ],
    ),
    (
        "Hồ Gương sâu 24 mét và rộng 3 km². Cá tầm được thả xuống hồ vào năm 1995. Muốn câu cá phải mua giấy phép ở trạm kiểm lâm. \
         Mùa bơi bắt đầu vào tháng sáu. Cấm đốt lửa quanh hồ.",
        &[
            ("Hồ Gương sâu bao nhiêu?", "24 mét"),
            ("Mua giấy phép câu cá ở đâu?", "trạm kiểm lâm"),
            ("Mùa bơi bắt đầu khi nào?", "tháng sáu"),
        ],
    ),
    (
        "کتابخانهٔ بندر در سال ۱۳۴۲ ساخته شد. این کتابخانه ۳۲ هزار کتاب دارد. مدیر آن خانم شیرین فروغی است. عضویت برای دانش‌آموزان \
         رایگان است. کتاب‌ها را می‌توان سه هفته نگه داشت.",
        &[
            ("کتابخانه چند کتاب دارد؟", "۳۲ هزار"),
            ("کتابخانهٔ بندر در چه سالی ساخته شد؟", "۱۳۴۲"),
            ("مدیر کتابخانه کیست؟", "شیرین فروغی"),
        ],
    ),
    (
        "盐镇的老桥建于1587年。桥长96米，由当地石匠许文山设计。每年九月桥上举行灯会。桥下的水车现在是一家茶馆。",
        &[("老桥有多长？", "96米"), ("老桥是谁设计的？", "许文山"), ("灯会在什么时候举行？", "九月")],
    ),
    (
        "Старый маяк построили в 1871 году. Его высота 31 метр. Смотрителем работает Пётр Зимин. Подняться наверх можно только летом. \
         Билет стоит 200 рублей.",
        &[
            ("Какая высота у маяка?", "31 метр"),
            ("Кто работает смотрителем?", "Пётр Зимин"),
            ("Сколько стоит билет?", "200 рублей"),
        ],
    ),
    (
        "ตลาดเกลือเปิดทุกวันเสาร์ ร้านค้ามีทั้งหมด 120 ร้าน ผู้จัดการตลาดคือคุณมาลี แสงทอง ที่จอดรถอยู่หลังวัด",
        &[("ตลาดเกลือมีร้านค้ากี่ร้าน", "120 ร้าน")],
    ),
    (
        "नमक संग्रहालय सोमवार को बंद रहता है। टिकट का दाम 40 रुपये है। संग्रहालय 1903 में खुला था। बच्चों को टिकट नहीं लेना पड़ता।",
        &[("टिकट का दाम कितना है?", "40 रुपये"), ("संग्रहालय कब खुला था?", "1903")],
    ),
];

/// Every question, given its own page alone or its own page among others.
fn cases(among_others: bool) -> Vec<AnswerCase> {
    let pages = || PAGES.iter().enumerate();
    let case = |at: usize, asked: &(&str, &str)| {
        let own = passage("a", PAGES[at].0, 0.9);
        let others = pages().filter(|(other, _)| among_others && *other != at);
        let others = others.take(5).map(|(_, (text, _))| passage("a", text, 0.4));
        let passages = std::iter::once(own).chain(others).collect();
        AnswerCase {
            question: question(asked.0),
            answers: vec![asked.1.into()],
            passages: Passages::check(&scope("a"), passages).unwrap(),
        }
    };
    pages().flat_map(|(at, (_, asked))| asked.iter().map(move |asked| case(at, asked))).collect()
}

#[tokio::test]
async fn extractive_answers_hold_the_answer_and_are_short() {
    for among_others in [false, true] {
        let figures = answer_recall(&scope("a"), Extractive::new(), cases(among_others)).await.unwrap();
        assert_eq!((figures.cases, figures.reachable), (29, 1.0));
        assert!(figures.recall >= 0.9, "{figures:?}");
        assert!(figures.mean_chars < 160.0, "{figures:?}");
    }
}

#[tokio::test]
async fn forms_that_read_the_same_are_the_same_and_an_empty_answer_is_none() {
    let with = |answers: &[&str]| AnswerCase {
        question: question("size"),
        answers: answers.iter().map(|answer| (*answer).to_owned()).collect(),
        passages: Passages::check(&scope("a"), vec![passage("a", "The size is ＴＥＮ  metres.", 1.0)])
            .unwrap(),
    };
    let recall = async |answers: &[&str]| {
        answer_recall(&scope("a"), Extractive::new(), [with(answers)]).await.unwrap().recall
    };
    assert_eq!(recall(&["eleven", "ten metres"]).await, 1.0);
    assert_eq!((recall(&[""]).await, recall(&[]).await), (0.0, 0.0));
    assert_eq!(answer_recall(&scope("a"), Extractive::new(), []).await.unwrap(), AnswerFigures::default());
}

#[test]
fn answers_are_read_where_collections_keep_them() {
    for (line, expected) in [
        (json!({"text": "q", "answers": ["a", "b"]}), &["a", "b"][..]),
        (json!({"metadata": {"answers": {"text": ["a"], "answer_start": [3]}}}), &["a"]),
        (json!({"answer": "a"}), &["a"]),
        (json!({"metadata": {"answer": "a"}}), &["a"]),
        (json!({"text": "q", "metadata": {}}), &[]),
    ] {
        assert_eq!(known_answers(&line), expected, "{line}");
    }
}
